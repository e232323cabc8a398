"""What the owner touches and sees: a button for each part, and the light."""
