"""What an image shows, as plain data: the local judge and the guards share it. Bounded in time and size for any image."""
