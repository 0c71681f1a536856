"""How good a denoised CT is: measures, tables and pictures, on pairs of volumes and on the phantom."""
