"""What ports of networks share: numerics, and what can be read of their inside."""
