// Opens documents in the child program lectern-reader, one process per file, so that a hostile file harms nothing else.
// Every function throws Error. Objects belong to one thread at a time; any number of threads may each have their own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "documents/document.h"
#include "documents/error.h"
#include "documents/source_list.h"

namespace lectern::documents {

struct ReaderOptions {
  std::string program;   // path of lectern-reader; empty: $LECTERN_READER, else beside the running program
  std::string password;  // of an encrypted document
  std::int64_t memory_bytes = std::int64_t{1536} << 20;  // address space besides the file itself
  double cpu_s =
      30;  // processor time of one request (open, one page, one picture); waiting may take four times as long
};

/// What is known before any page is read.
struct DocumentInfo {
  DocumentKind kind = DocumentKind::text;
  int pages = 0;
  std::string fingerprint;
  std::string title, author;
  ReadingReport report;  // encoding, replaced characters and warnings known so far
};

/// Pixels of a page: 32 bits each (blue, green, red, 255), rows from the top without padding.
struct Picture {
  int width = 0, height = 0;
  std::string pixels;
};

/// One document held open by one child process. After an error of kind timed_out, crashed or too_large the process is
/// gone and every later call throws the same.
class ReaderProcess {
 public:
  static ReaderProcess open(const std::string& path, const ReaderOptions& options, std::stop_token stop = {});
  ReaderProcess(ReaderProcess&&) noexcept;
  ReaderProcess& operator=(ReaderProcess&&) noexcept;
  ~ReaderProcess();

  const DocumentInfo& info() const;
  /// `number` from 1.
  Page page(int number, std::stop_token stop = {});
  /// Lowered where the picture would exceed 64 megapixels.
  Picture render(int number, double dpi, std::stop_token stop = {});
  std::vector<OutlineItem> outline(std::stop_token stop = {});
  /// Complaints of the reader so far.
  std::int64_t problems() const;
  int process_id() const;
  /// For tests of the limits: makes the child misbehave ("hang", "crash", "memory", "write", "socket", "exit",
  /// "babble").
  std::string misbehave(const std::string& how);

 private:
  struct State;
  explicit ReaderProcess(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct ReadOptions : ReaderOptions {
  /// Called on the calling thread after each page.
  std::function<void(int page, int pages)> progress;
};

/// Reads a whole document. A page on which the reader dies or runs out of time stays empty with a warning (at most
/// three of them; then the error is thrown).
Document read_document(const std::string& path, const ReadOptions& options = {}, std::stop_token stop = {});

/// The files of a folder that are worth reading (source_list.h), found by the child program.
SourceList list_folder(const std::string& folder, const ReaderOptions& options = {}, std::stop_token stop = {});

/// Where lectern-reader is: `program` if given, else $LECTERN_READER, else beside the running program. Throws
/// Error{setup}.
std::string find_reader(const std::string& program = {});

}  // namespace lectern::documents
