"""Access to the files of a lake, in a local folder or on S3."""
