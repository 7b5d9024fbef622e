"""The contract: what every table holds, and where every weight file comes from."""
