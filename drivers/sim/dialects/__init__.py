"""How each firmware answers: a face for every dialect."""
