"""Pictures → views → engine(prefix) → store, once.

scanning     path, size, mtime → digest
rendering    picture, view → what the network takes
prefixes     backbone, cut → what is computed, by which engine
stored_rows  digest, view → row: from the store, computed and stored where it is missing
features     all of that for a set of pictures
"""
