"""Reports: text for a person, JSON and Parquet for programs, in a folder that is there as a whole or not at all."""
