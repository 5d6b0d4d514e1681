"""Why a classifier says what it says of a picture."""
