"""Why a network says what it says: Grad-CAM of any trained network and of bundles, as pictures and in reports.

R. R. Selvaraju and others, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV
2017; in paper 004 eq. 5, 6 and Fig. 11.
"""
