"""Pictures, captions, buckets, staging and lint."""
