-- What lay at a path before its file changed: readings of it may still be kept, and go with those of the file.

CREATE TABLE former_contents (
  path TEXT NOT NULL,
  fingerprint TEXT NOT NULL,         -- of no row of documents any more, perhaps
  PRIMARY KEY (path, fingerprint)
) STRICT, WITHOUT ROWID;
