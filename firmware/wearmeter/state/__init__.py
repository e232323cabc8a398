"""All the device knows, and how it changes: one value, one event at a time, committed or never changed."""
