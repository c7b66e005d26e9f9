// The library: documents by fingerprint, with their text, geometry and full-text index.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/database.h"
#include "app/records.h"
#include "documents/document.h"

namespace lectern::app {

/// A passage that the full-text index found.
struct PassageHit {
  std::string fingerprint;
  int page = 0;                     // from 1
  std::int64_t start = 0, end = 0;  // code points in the page's text
  std::string text;
  double score = 0;  // higher is better
};

/// What tells that a file is still the one that was read.
struct FileStamp {
  std::int64_t size_bytes = -1;
  std::int64_t modified_ns = 0;  // since 1970
};
std::optional<FileStamp> file_stamp(const std::string& path);  // empty: no such file

/// One sentence about what reading did not bring ("pages 3, 7-9 have no text"), or empty.
std::string reading_problem(const documents::ReadingReport& report);

/// Works on one connection; writing functions need a read_write one.
class Library {
 public:
  explicit Library(Database& database) : database_(database) {}

  /// Stores the document with its pages and passages (one transaction); a document that is there already only gets its
  /// new path. `stamp`: of the file before it was read; by default as it is now. `document.name` is what the row shows
  /// (inside a collection the path relative to it). A path that held other content before is taken from that document,
  /// which goes if no session uses it.
  void add(const documents::Document& document, const std::string& collection, std::optional<FileStamp> stamp = {});
  bool contains(const std::string& fingerprint) const;
  std::optional<documents::Document> load(const std::string& fingerprint) const;
  std::optional<documents::Page> page(const std::string& fingerprint, int number) const;
  /// The newest first, files of a collection together by name. A content that lies at several paths has one row.
  std::vector<DocumentRow> list() const;
  std::optional<DocumentRow> row(const std::string& fingerprint) const;
  /// The document that was read from this path, if the file has not changed since (size and modification time).
  std::optional<std::string> unchanged(const std::string& path) const;
  /// A file that was read before is now read as part of a folder.
  void move_to_collection(const std::string& path, const std::string& name, const std::string& collection);
  /// Forgets the former contents of its paths too.
  void remove(const std::string& fingerprint);
  /// Fingerprints of the documents that a person means by a path (of a file or a folder), a name, a collection or a
  /// fingerprint, and of what lay there before, whether the library still has it or not. `path`: `named` made absolute.
  std::vector<std::string> fingerprints_of(const std::string& named, const std::string& path) const;
  /// Of what lay at the paths of this document before, those that the library has no more.
  std::vector<std::string> former_versions(const std::string& fingerprint) const;
  void set_tokens(const std::string& fingerprint, const std::string& model, std::int64_t tokens);
  std::optional<std::int64_t> tokens(const std::string& fingerprint, const std::string& model) const;

  /// FTS5/BM25 over the passages of these documents (documents.md, "Search"): OR of the words, stop words dropped,
  /// title weighted; CJK text is found by single characters.
  std::vector<PassageHit> search(const std::vector<std::string>& fingerprints, const std::string& question,
                                 int limit) const;

 private:
  Database& database_;
};

}  // namespace lectern::app
