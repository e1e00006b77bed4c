"""mien reads faces: expression, valence, arousal and satisfaction."""
