"""The way into the new process: plans go over as bytes, a sealed static program carries them out, reports come back."""
