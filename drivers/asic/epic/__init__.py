"""ePIC UMC and PowerPlay."""
