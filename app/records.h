// Plain values of the program without a window: what the library and the sessions hold, and what the window shows.
// Text is UTF-8; offsets are in code points; times are milliseconds since 1970 (UTC).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "inference/types.h"

namespace lectern::app {

// ---- Library -------------------------------------------------------------------------------------------------------

enum class DocumentState {
  reading,  // its file is being opened, or its pages are arriving
  ready,    // its text is kept
  failed,   // `problem` says why
};

/// One row of the library. A folder adds one row for each of its files, joined by `collection`.
struct DocumentRow {
  std::string fingerprint;  // empty while it is not known (reading, failed)
  std::string name;         // file name; inside a collection the path relative to it
  std::string path;         // where it was read from
  std::string collection;   // name of the folder it came with, or empty
  std::string kind;         // "pdf", "text", "markdown", "code"
  DocumentState state = DocumentState::ready;
  std::string problem;  // one sentence, if failed or if something could not be read
  int pages = 0;
  int pages_without_text = 0;
  std::int64_t tokens = 0;   // with the current model; 0 while unknown
  int pages_read = 0;        // while reading
  double seconds_left = -1;  // while reading; negative: unknown
  std::int64_t added_ms = 0;
};

// ---- Sessions ------------------------------------------------------------------------------------------------------

struct SessionRow {
  std::int64_t id = 0;
  std::string name;  // given by the person, or the first question
  int messages = 0;
  bool pinned = false;
  std::int64_t changed_ms = 0;
};

enum class MessageState { partial, complete, stopped, failed };
enum class CitationStatus { verified, elsewhere, absent };
enum class CitationOrigin {
  model,    // the model wrote the marker or the quote
  program,  // the program found the passage for a sentence of the answer, or for the question
};

/// A place that an answer rests on.
struct Citation {
  int marker = 0;  // its number in the answer, from 1
  CitationOrigin origin = CitationOrigin::model;
  CitationStatus status = CitationStatus::absent;
  std::string fingerprint;                   // of the document; empty if absent
  std::string document;                      // its name
  int page = 0;                              // where the quote stands, from 1; 0 if absent
  int claimed_page = 0;                      // what the answer said; 0 if nothing
  std::optional<std::pair<int, int>> lines;  // first and last line, for text and code
  std::string quote;                         // verbatim text of the document if found, else what the answer claimed
  std::int64_t start = 0, end = 0;           // the quote in the text of `page`
  std::int64_t answer_end = -1;              // the citation stands after this place of the answer; -1: under the answer
};

/// A sentence of an answer that nothing in the given text supports.
struct Unsupported {
  std::string sentence;
  std::int64_t start = 0, end = 0;  // in the answer
};

/// pages = pages_given + pages_omitted + pages_without_text.size(); tokens = given_tokens + dropped_tokens.
struct Coverage {
  int pages = 0;
  int pages_given = 0;
  int pages_omitted = 0;
  struct Place {
    std::string document;
    int page = 0;
  };
  std::vector<Place> pages_without_text;
  std::int64_t tokens = 0;
  std::int64_t given_tokens = 0;
  std::int64_t dropped_tokens = 0;
};

/// All that stands under an answer.
struct AnswerReport {
  inference::FinishReason finish_reason = inference::FinishReason::stop;
  Coverage coverage;
  inference::Usage usage;
  inference::Timing timing;
  double ingest_s = 0;
  inference::ModelDescription model;
  std::vector<Unsupported> unsupported;
  int turns_left_out = 0;  // oldest questions (with their answers) that did not fit the window any more
};

struct Message {
  std::int64_t id = 0;
  std::int64_t parent = 0;  // the message it follows; 0: the first. Two messages with one parent are branches.
  std::int64_t session = 0;
  inference::Role role = inference::Role::user;
  std::string text;
  MessageState state = MessageState::complete;
  std::string problem;  // one sentence, if failed
  std::int64_t created_ms = 0;
  std::vector<inference::TokenId> token_ids;  // of an answer, with the model of `report`
  std::vector<Citation> citations;
  std::optional<AnswerReport> report;  // of a finished answer
};

}  // namespace lectern::app
