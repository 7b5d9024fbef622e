"""Who is on a picture, and was it here before: hashes, an index over them, and what a whole table says of a row."""
