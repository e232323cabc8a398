"""The relay's database: SQLite without set-up, or PostgreSQL."""
