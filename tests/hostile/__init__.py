"""An operator that lies, and every case of it: what is asked, what is answered, what must hold afterwards."""
