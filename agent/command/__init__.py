"""What people and programs have the fleet do, and the proof that it was done."""
