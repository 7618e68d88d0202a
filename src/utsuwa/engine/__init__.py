"""What users ask for, decided: containers, processes in them, images, volumes. Synchronous, see docs/decisions/0002."""
