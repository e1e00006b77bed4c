"""The action personalize: learns a person's head afresh, with feedback, and can be cancelled."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from mien_msgs.action import Personalize
from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node

from mien.errors import MienError
from mien.nodes.personal_services import PersonalServices
from mien.nodes.waiting import result_of
from mien.personal.messages import Progress


class PersonalizeAction:
    """Offered as long as the node lives.

    Args:
        node: offers it.
        services: know who answers.
    """

    def __init__(self, node: Node, services: PersonalServices) -> None:
        self._node, self._services = node, services
        self._server = ActionServer(
            node,
            Personalize,
            "personalize",
            self._execute,
            callback_group=services.group,
            cancel_callback=self._cancel,
        )

    def close(self) -> None:
        """Offer it no longer; called while nothing else of the node runs."""
        self._server.destroy()

    def _cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        with suppress(MienError):  # closed meanwhile: then it has ended
            self._services.people().cancel(_run_id(goal))
        return CancelResponse.ACCEPT

    async def _execute(self, goal: ServerGoalHandle) -> Personalize.Result:
        result = Personalize.Result()
        try:
            await self._learn(goal, result)
        except MienError as error:
            result.message = str(error)
            goal.abort()
        except Exception as error:  # noqa: BLE001  one goal that fails must not end the node
            self._node.get_logger().error(f"Action personalize failed: {type(error).__name__}")
            result.message = f"The action failed ({type(error).__name__}). Report it"
            goal.abort()
        return result

    async def _learn(self, goal: ServerGoalHandle, result: Personalize.Result) -> None:
        def tell(progress: Progress) -> None:
            goal.publish_feedback(_feedback(progress))

        asked: Any = goal.request
        people = self._services.people()
        learning = people.personalise(asked.person_id, asked.learner, asked.max_steps, tell, _run_id(goal))
        if goal.is_cancel_requested:  # before there was anything to cancel
            people.cancel(_run_id(goal))
        outcome = await result_of(self._node, learning)
        result.success, result.message = outcome.success, outcome.message
        result.head_version, result.samples = outcome.head.version, outcome.samples
        result.score_before, result.score_after = outcome.score_before, outcome.score_after
        result.duration_s = outcome.duration_s
        if goal.is_cancel_requested and not outcome.success:
            goal.canceled()
        else:
            goal.succeed()


def _run_id(goal: ServerGoalHandle) -> str:
    """Of the goal: others of the same person go on."""
    return bytes(goal.goal_id.uuid).hex()


def _feedback(progress: Progress) -> Personalize.Feedback:
    return Personalize.Feedback(
        step=progress.step, steps=progress.steps, loss=progress.loss, held_out_score=progress.held_out_score
    )
