-- Documents by the fingerprint of their content, their pages, the full-text index, and sessions with their messages.
-- A released file is never edited: a change is a new file with the next number.

PRAGMA application_id = 0x4C454354;  -- "LECT"

CREATE TABLE documents (
  id INTEGER PRIMARY KEY,
  fingerprint TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  title TEXT NOT NULL,
  author TEXT NOT NULL,
  outline TEXT NOT NULL,             -- JSON
  report TEXT NOT NULL,              -- JSON: what could not be read
  pages INTEGER NOT NULL,
  pages_without_text INTEGER NOT NULL,
  problem TEXT NOT NULL,             -- one sentence, or empty
  added_ms INTEGER NOT NULL
) STRICT;

-- Where a document was read from. One content may lie at several paths; a path holds one content at a time.
CREATE TABLE document_paths (
  path TEXT PRIMARY KEY,
  document INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  collection TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,       -- -1: unknown
  modified_ns INTEGER NOT NULL,
  added_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX document_paths_of_document ON document_paths(document);

CREATE TABLE pages (
  id INTEGER PRIMARY KEY,
  document INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
  number INTEGER NOT NULL,           -- from 1
  width_pt REAL NOT NULL,
  height_pt REAL NOT NULL,
  has_image INTEGER NOT NULL,
  first_line INTEGER NOT NULL,
  last_line INTEGER NOT NULL,
  text TEXT NOT NULL,
  words BLOB NOT NULL,               -- app/page_words.cpp
  UNIQUE (document, number)
) STRICT;

CREATE TABLE document_tokens (
  document INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
  model TEXT NOT NULL,
  tokens INTEGER NOT NULL,
  counted_ms INTEGER NOT NULL,
  PRIMARY KEY (document, model)
) STRICT;

CREATE TABLE passages (
  id INTEGER PRIMARY KEY,
  document INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
  page INTEGER NOT NULL,
  start_offset INTEGER NOT NULL,     -- code points in the page's text
  end_offset INTEGER NOT NULL
) STRICT;
CREATE INDEX passages_of_document ON passages(document);

-- The row id is the passage's. The title stands with each passage; CJK characters are separated by spaces. English words are
-- found in every form (porter): recall of a gold span of CUAD (737 questions, 60 contracts, within the right one) at 1 / 5 / 10
-- passages .467 / .799 / .864 without it, .501 / .825 / .881 with it.
CREATE VIRTUAL TABLE passage_index USING fts5(title, body, tokenize = "porter unicode61 remove_diacritics 2");
CREATE TRIGGER passages_deleted AFTER DELETE ON passages BEGIN
  DELETE FROM passage_index WHERE rowid = old.id;
END;

-- Ids are never used twice: a message's id is part of the identity of kept model state.
CREATE TABLE sessions (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,                -- empty: called by its first question
  pinned INTEGER NOT NULL DEFAULT 0,
  shown_message INTEGER NOT NULL DEFAULT 0,   -- end of the branch that is shown; 0: none
  created_ms INTEGER NOT NULL,
  changed_ms INTEGER NOT NULL
) STRICT;

-- No foreign key on the fingerprint: a session outlives a document that is taken out of the library and added again.
CREATE TABLE session_documents (
  session INTEGER NOT NULL REFERENCES sessions(id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  fingerprint TEXT NOT NULL,
  PRIMARY KEY (session, position)
) STRICT;

CREATE TABLE messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  session INTEGER NOT NULL REFERENCES sessions(id) ON DELETE CASCADE,
  parent INTEGER REFERENCES messages(id) ON DELETE CASCADE,   -- NULL: the first
  role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
  state TEXT NOT NULL CHECK (state IN ('partial', 'complete', 'stopped', 'failed')),
  text TEXT NOT NULL,
  problem TEXT NOT NULL,
  token_ids BLOB NOT NULL,           -- int32, little endian
  report TEXT,                       -- JSON, of a finished answer
  created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX messages_of_session ON messages(session);
CREATE INDEX messages_of_parent ON messages(parent);

CREATE TABLE citations (
  message INTEGER NOT NULL REFERENCES messages(id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  marker INTEGER NOT NULL,
  origin TEXT NOT NULL CHECK (origin IN ('model', 'program')),
  status TEXT NOT NULL CHECK (status IN ('verified', 'elsewhere', 'absent')),
  fingerprint TEXT NOT NULL,
  document TEXT NOT NULL,
  page INTEGER NOT NULL,
  claimed_page INTEGER NOT NULL,
  first_line INTEGER,
  last_line INTEGER,
  quote TEXT NOT NULL,
  start_offset INTEGER NOT NULL,
  end_offset INTEGER NOT NULL,
  answer_end INTEGER NOT NULL,
  PRIMARY KEY (message, position)
) STRICT;
CREATE INDEX citations_of_document ON citations(fingerprint);

CREATE VIRTUAL TABLE message_index USING fts5(text, tokenize = "unicode61 remove_diacritics 2");
CREATE TRIGGER messages_deleted AFTER DELETE ON messages BEGIN
  DELETE FROM message_index WHERE rowid = old.id;
END;

-- Session 0 is the window itself.
CREATE TABLE remembered (
  session INTEGER NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (session, key)
) STRICT;
CREATE TRIGGER sessions_deleted AFTER DELETE ON sessions BEGIN
  DELETE FROM remembered WHERE session = old.id;
END;
