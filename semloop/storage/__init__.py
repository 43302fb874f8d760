"""Where a lake is and how its files are read and written, on a folder or on S3."""
