// One row for each content, its pages beside it, so that a page can be loaded alone. Passages keep only their offsets:
// their text is a part of the page's. The index holds the text once more with spaces between CJK characters, which is
// what FTS5 needs; bm25 counts words over the whole library, and the documents asked for are filtered after.
#include "app/library.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "app/page_words.h"
#include "app/search_text.h"
#include "documents/passages.h"
#include "documents/utf8.h"

namespace lectern::app {
namespace {

using Json = nlohmann::json;

std::int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string outline_text(const std::vector<documents::OutlineItem>& outline) {
  Json items = Json::array();
  for (const documents::OutlineItem& item : outline) items.push_back({item.title, item.page, item.depth});
  return dump(items);
}

std::string report_text(const documents::ReadingReport& report) {
  return dump({{"pages", report.pages},
               {"pages_without_text", report.pages_without_text},
               {"problems", report.problems},
               {"replaced_characters", report.replaced_characters},
               {"encoding", report.encoding},
               {"warnings", report.warnings}});
}

[[noreturn]] void damaged(const Database& database, const std::string& fingerprint) {
  throw DatabaseError(DatabaseError::Kind::damaged,
                      database.path() + ": what it keeps of document " + fingerprint +
                          " is damaged; take the document out of the library and add it again");
}

documents::Page page_of(const Database& database, const Statement& row, const std::string& fingerprint) {
  documents::Page page;
  page.number = static_cast<int>(row.integer(0));
  page.width_pt = row.real(1);
  page.height_pt = row.real(2);
  page.has_image = row.integer(3) != 0;
  page.first_line = static_cast<int>(row.integer(4));
  page.last_line = static_cast<int>(row.integer(5));
  page.text = row.text(6);
  try {
    page.words = unpack_words(row.blob(7));
  } catch (const std::invalid_argument&) {
    damaged(database, fingerprint);
  }
  return page;
}

constexpr const char* page_columns = "number, width_pt, height_pt, has_image, first_line, last_line, text, words";

std::int64_t id_of(Database& database, const std::string& fingerprint) {
  Statement row(database, "SELECT id FROM documents WHERE fingerprint = ?1");
  row.bind(1, fingerprint);
  return row.step() ? row.integer(0) : 0;
}

void add_pages(Database& database, std::int64_t id, const documents::Document& document) {
  Statement page_row(
      database,
      "INSERT INTO pages (document, number, width_pt, height_pt, has_image, first_line, last_line, text, "
      "words) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
  Statement passage_row(database,
                        "INSERT INTO passages (document, page, start_offset, end_offset) VALUES (?1, ?2, ?3, ?4)");
  Statement index_row(database, "INSERT INTO passage_index (rowid, title, body) VALUES (?1, ?2, ?3)");
  const std::string title = index_text(document.title + ' ' + document.name);
  for (const documents::Page& page : document.pages) {
    page_row.bind(1, id).bind(2, std::int64_t{page.number}).bind(3, page.width_pt).bind(4, page.height_pt);
    page_row.bind(5, std::int64_t{page.has_image}).bind(6, std::int64_t{page.first_line});
    page_row.bind(7, std::int64_t{page.last_line}).bind(8, page.text).bind_blob(9, pack_words(page.words)).run();
    for (const documents::Passage& passage : documents::split_passages(page)) {
      passage_row.bind(1, id).bind(2, std::int64_t{passage.page}).bind(3, passage.start).bind(4, passage.end).run();
      const std::string body = index_text(documents::slice(page.text, passage.start, passage.end));
      index_row.bind(1, database.last_insert_id()).bind(2, title).bind(3, body).run();
    }
  }
}

void add_document(Database& database, const documents::Document& document) {
  Statement insert(database,
                   "INSERT INTO documents (fingerprint, name, kind, title, author, outline, report, pages, "
                   "pages_without_text, problem, added_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)");
  insert.bind(1, document.fingerprint).bind(2, document.name).bind(3, std::string_view(documents::name(document.kind)));
  insert.bind(4, document.title).bind(5, document.author).bind(6, outline_text(document.outline));
  insert.bind(7, report_text(document.report)).bind(8, static_cast<std::int64_t>(document.pages.size()));
  insert.bind(9, static_cast<std::int64_t>(document.report.pages_without_text.size()));
  insert.bind(10, reading_problem(document.report)).bind(11, now_ms()).run();
  add_pages(database, database.last_insert_id(), document);
}

/// An older content of a path that changed: goes, unless it lies elsewhere too or a session rests on it.
void drop_if_unused(Database& database, std::int64_t id) {
  Statement(database,
            "DELETE FROM documents WHERE id = ?1 AND id NOT IN (SELECT document FROM document_paths) "
            "AND fingerprint NOT IN (SELECT fingerprint FROM session_documents) "
            "AND fingerprint NOT IN (SELECT fingerprint FROM citations)")
      .bind(1, id)
      .run();
}

// Of several paths the one added last stands for the document; the count of the model used last for its tokens.
constexpr const char* row_query =
    "SELECT d.fingerprint, coalesce(p.name, d.name), coalesce(p.path, ''), coalesce(p.collection, ''), d.kind, "
    "d.problem, "
    "d.pages, d.pages_without_text, coalesce((SELECT t.tokens FROM document_tokens t WHERE t.document = d.id "
    "ORDER BY t.counted_ms DESC, t.rowid DESC LIMIT 1), 0), coalesce(p.added_ms, d.added_ms) "
    "FROM documents d LEFT JOIN document_paths p ON p.rowid = (SELECT q.rowid FROM document_paths q WHERE q.document = "
    "d.id "
    "ORDER BY q.added_ms DESC, q.rowid DESC LIMIT 1)";

DocumentRow row_of(const Statement& values) {
  DocumentRow row;
  row.fingerprint = values.text(0);
  row.name = values.text(1);
  row.path = values.text(2);
  row.collection = values.text(3);
  row.kind = values.text(4);
  row.problem = values.text(5);
  row.pages = row.pages_read = static_cast<int>(values.integer(6));
  row.pages_without_text = static_cast<int>(values.integer(7));
  row.tokens = values.integer(8);
  row.added_ms = values.integer(9);
  if (row.path.empty()) row.problem = "an older version: its file has changed since";
  return row;
}

/// "3, 7-9"
std::string ranges(const std::vector<int>& pages) {
  std::string text;
  for (std::size_t i = 0; i < pages.size();) {
    std::size_t last = i;
    while (last + 1 < pages.size() && pages[last + 1] == pages[last] + 1) ++last;
    if (text.size() > 60) return text + ", ...";
    text += (text.empty() ? "" : ", ") + std::to_string(pages[i]);
    if (last > i) text += (last == i + 1 ? ", " : "-") + std::to_string(pages[last]);
    i = last + 1;
  }
  return text;
}

}  // namespace

std::optional<FileStamp> file_stamp(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return std::nullopt;
  return FileStamp{.size_bytes = status.st_size,
                   .modified_ns = std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

std::string reading_problem(const documents::ReadingReport& report) {
  std::vector<std::string> parts;
  const std::size_t empty = report.pages_without_text.size();
  if (empty != 0 && empty == static_cast<std::size_t>(report.pages))
    parts.push_back("no page has text (a scan?)");
  else if (empty != 0)
    parts.push_back((empty == 1 ? "page " : "pages ") + ranges(report.pages_without_text) +
                    (empty == 1 ? " has no text" : " have no text"));
  if (report.problems != 0)
    parts.push_back("the file is damaged in " + std::to_string(report.problems) +
                    (report.problems == 1 ? " place" : " places") + ", text may be missing");
  if (report.replaced_characters != 0)
    parts.push_back(std::to_string(report.replaced_characters) +
                    (report.replaced_characters == 1 ? " byte was" : " bytes were") + " no text" +
                    (report.encoding.empty() ? "" : " in " + report.encoding));
  for (std::size_t i = 0; i < report.warnings.size() && i < 3; ++i) parts.push_back(report.warnings[i]);
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : "; ") + part;
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

void Library::add(const documents::Document& document, const std::string& collection, std::optional<FileStamp> stamp) {
  if (!stamp) stamp = file_stamp(document.path).value_or(FileStamp{});
  Transaction transaction(database_);
  if (id_of(database_, document.fingerprint) == 0) add_document(database_, document);
  const std::int64_t id = id_of(database_, document.fingerprint);
  std::int64_t before = 0;
  {
    Statement row(database_, "SELECT document FROM document_paths WHERE path = ?1");
    row.bind(1, document.path);
    if (row.step()) before = row.integer(0);
  }
  Statement(database_,
            "INSERT INTO document_paths (path, document, name, collection, size_bytes, modified_ns, added_ms) "
            "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (path) DO UPDATE SET document = excluded.document, "
            "name = excluded.name, collection = excluded.collection, size_bytes = excluded.size_bytes, "
            "modified_ns = excluded.modified_ns, added_ms = excluded.added_ms")
      .bind(1, document.path)
      .bind(2, id)
      .bind(3, document.name)
      .bind(4, collection)
      .bind(5, stamp->size_bytes)
      .bind(6, stamp->modified_ns)
      .bind(7, now_ms())
      .run();
  if (before != 0 && before != id) {
    Statement(database_,
              "INSERT OR IGNORE INTO former_contents (path, fingerprint) "
              "SELECT ?1, fingerprint FROM documents WHERE id = ?2")
        .bind(1, document.path)
        .bind(2, before)
        .run();
    drop_if_unused(database_, before);
  }
  Statement(database_, "DELETE FROM former_contents WHERE path = ?1 AND fingerprint = ?2")
      .bind(1, document.path)
      .bind(2, document.fingerprint)
      .run();
  transaction.commit();
}

bool Library::contains(const std::string& fingerprint) const {
  return id_of(database_, fingerprint) != 0;
}

std::optional<documents::Document> Library::load(const std::string& fingerprint) const {
  documents::Document document;
  Transaction transaction(database_);  // the row and its pages from one state of the file
  Statement row(database_,
                "SELECT d.id, d.name, d.kind, d.title, d.author, d.outline, d.report FROM documents d "
                "WHERE d.fingerprint = ?1");
  row.bind(1, fingerprint);
  if (!row.step()) return std::nullopt;
  document.fingerprint = fingerprint;
  const std::int64_t id = row.integer(0);
  try {
    document.kind = documents::document_kind(row.text(2));
    document.title = row.text(3);
    document.author = row.text(4);
    for (const Json& item : Json::parse(row.text(5)))
      document.outline.push_back({item.at(0).get<std::string>(), item.at(1).get<int>(), item.at(2).get<int>()});
    const Json report = Json::parse(row.text(6));
    report.at("pages").get_to(document.report.pages);
    report.at("pages_without_text").get_to(document.report.pages_without_text);
    report.at("problems").get_to(document.report.problems);
    report.at("replaced_characters").get_to(document.report.replaced_characters);
    report.at("encoding").get_to(document.report.encoding);
    report.at("warnings").get_to(document.report.warnings);
  } catch (const Json::exception&) {
    damaged(database_, fingerprint);
  } catch (const std::invalid_argument&) {
    damaged(database_, fingerprint);
  }
  const DocumentRow shown = this->row(fingerprint).value();
  document.name = shown.name;
  document.path = shown.path;
  Statement pages(database_, std::string("SELECT ") + page_columns + " FROM pages WHERE document = ?1 ORDER BY number");
  pages.bind(1, id);
  while (pages.step()) document.pages.push_back(page_of(database_, pages, fingerprint));
  return document;
}

std::optional<documents::Page> Library::page(const std::string& fingerprint, int number) const {
  Statement row(database_,
                std::string("SELECT ") + page_columns +
                    " FROM pages WHERE document = (SELECT id FROM documents WHERE fingerprint = ?1) AND number = ?2");
  row.bind(1, fingerprint).bind(2, std::int64_t{number});
  if (!row.step()) return std::nullopt;
  return page_of(database_, row, fingerprint);
}

std::vector<DocumentRow> Library::list() const {
  std::vector<DocumentRow> rows;
  std::map<std::string, std::int64_t> newest;  // of a collection
  Statement values(database_, row_query);
  while (values.step()) {
    rows.push_back(row_of(values));
    std::int64_t& time = newest[rows.back().collection];
    time = std::max(time, rows.back().added_ms);
  }
  const auto time_of = [&](const DocumentRow& row) {
    return row.collection.empty() ? row.added_ms : newest[row.collection];
  };
  std::stable_sort(rows.begin(), rows.end(), [&](const DocumentRow& a, const DocumentRow& b) {
    if (time_of(a) != time_of(b)) return time_of(a) > time_of(b);
    if (a.collection != b.collection) return a.collection < b.collection;
    return a.name < b.name;
  });
  return rows;
}

std::optional<DocumentRow> Library::row(const std::string& fingerprint) const {
  Statement values(database_, std::string(row_query) + " WHERE d.fingerprint = ?1");
  values.bind(1, fingerprint);
  if (!values.step()) return std::nullopt;
  return row_of(values);
}

std::optional<std::string> Library::unchanged(const std::string& path) const {
  const std::optional<FileStamp> stamp = file_stamp(path);
  if (!stamp) return std::nullopt;
  Statement row(database_,
                "SELECT d.fingerprint FROM document_paths p JOIN documents d ON d.id = p.document "
                "WHERE p.path = ?1 AND p.size_bytes = ?2 AND p.modified_ns = ?3");
  row.bind(1, path).bind(2, stamp->size_bytes).bind(3, stamp->modified_ns);
  if (!row.step()) return std::nullopt;
  return row.text(0);
}

void Library::move_to_collection(const std::string& path, const std::string& name, const std::string& collection) {
  Statement(database_,
            "UPDATE document_paths SET name = ?2, collection = ?3, added_ms = ?4 "
            "WHERE path = ?1 AND (name <> ?2 OR collection <> ?3)")
      .bind(1, path)
      .bind(2, name)
      .bind(3, collection)
      .bind(4, now_ms())
      .run();
}

void Library::remove(const std::string& fingerprint) {
  Transaction transaction(database_);
  Statement(database_,
            "DELETE FROM former_contents WHERE path IN (SELECT path FROM document_paths WHERE document = "
            "(SELECT id FROM documents WHERE fingerprint = ?1))")
      .bind(1, fingerprint)
      .run();
  Statement(database_, "DELETE FROM documents WHERE fingerprint = ?1").bind(1, fingerprint).run();
  transaction.commit();
}

std::vector<std::string> Library::fingerprints_of(const std::string& named, const std::string& path) const {
  std::vector<std::string> found;
  Statement meant(database_,
                  "WITH places(path) AS (SELECT path FROM document_paths WHERE path IN (?1, ?2) OR name = ?1 OR "
                  "(collection <> '' AND ?1 IN (collection, collection || '/' || name)) OR "
                  "substr(path, 1, length(?3)) = ?3 UNION SELECT ?2) "
                  "SELECT d.fingerprint FROM documents d LEFT JOIN document_paths p ON p.document = d.id "
                  "WHERE d.fingerprint = ?1 OR p.path IN (SELECT path FROM places) OR (p.path IS NULL AND d.name = ?1) "
                  "UNION SELECT fingerprint FROM former_contents "
                  "WHERE path IN (SELECT path FROM places) OR substr(path, 1, length(?3)) = ?3");
  meant.bind(1, named).bind(2, path).bind(3, path + "/");
  while (meant.step()) found.push_back(meant.text(0));
  return found;
}

std::vector<std::string> Library::former_versions(const std::string& fingerprint) const {
  std::vector<std::string> found;
  Statement former(database_,
                   "SELECT DISTINCT f.fingerprint FROM former_contents f JOIN document_paths p ON p.path = f.path "
                   "WHERE p.document = (SELECT id FROM documents WHERE fingerprint = ?1) "
                   "AND f.fingerprint NOT IN (SELECT fingerprint FROM documents) ORDER BY f.fingerprint");
  former.bind(1, fingerprint);
  while (former.step()) found.push_back(former.text(0));
  return found;
}

void Library::set_tokens(const std::string& fingerprint, const std::string& model, std::int64_t tokens) {
  Statement(database_,
            "INSERT INTO document_tokens (document, model, tokens, counted_ms) "
            "SELECT id, ?2, ?3, ?4 FROM documents WHERE fingerprint = ?1 "
            "ON CONFLICT (document, model) DO UPDATE SET tokens = excluded.tokens, counted_ms = excluded.counted_ms")
      .bind(1, fingerprint)
      .bind(2, model)
      .bind(3, tokens)
      .bind(4, now_ms())
      .run();
}

std::optional<std::int64_t> Library::tokens(const std::string& fingerprint, const std::string& model) const {
  Statement row(database_,
                "SELECT t.tokens FROM document_tokens t JOIN documents d ON d.id = t.document "
                "WHERE d.fingerprint = ?1 AND t.model = ?2");
  row.bind(1, fingerprint).bind(2, model);
  if (!row.step()) return std::nullopt;
  return row.integer(0);
}

std::vector<PassageHit> Library::search(const std::vector<std::string>& fingerprints, const std::string& question,
                                        int limit) const {
  std::vector<PassageHit> hits;
  const std::string query = any_word_query(question);
  if (query.empty() || limit <= 0) return hits;
  Statement rows(
      database_,
      "SELECT d.fingerprint, p.page, p.start_offset, p.end_offset, -bm25(passage_index, 3.0, 1.0) AS score "
      "FROM passage_index JOIN passages p ON p.id = passage_index.rowid JOIN documents d ON d.id = p.document "
      "WHERE passage_index MATCH ?1 AND d.fingerprint IN (SELECT value FROM json_each(?2)) "
      "ORDER BY score DESC, p.id LIMIT ?3");
  rows.bind(1, query).bind(2, dump(fingerprints)).bind(3, std::int64_t{limit});
  while (rows.step()) {
    PassageHit hit;
    hit.fingerprint = rows.text(0);
    hit.page = static_cast<int>(rows.integer(1));
    hit.start = rows.integer(2);
    hit.end = rows.integer(3);
    hit.score = rows.real(4);
    hits.push_back(std::move(hit));
  }
  Statement page(
      database_,
      "SELECT g.text FROM pages g JOIN documents d ON d.id = g.document WHERE d.fingerprint = ?1 AND g.number = ?2");
  for (PassageHit& hit : hits) {
    page.bind(1, hit.fingerprint).bind(2, std::int64_t{hit.page});
    if (page.step()) hit.text = documents::slice(page.text(0), hit.start, hit.end);
    page.reset();
  }
  return hits;
}

}  // namespace lectern::app
