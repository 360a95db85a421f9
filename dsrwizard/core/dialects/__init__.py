"""How steps and looks are written for each system."""
