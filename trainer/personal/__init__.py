"""`mien-train personal`: what a person's own labels bring beside a general model (paper 002)."""
