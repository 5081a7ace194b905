"""What this machine has: GPUs, memory, disks and the engine's python packages. Looks, never changes."""
