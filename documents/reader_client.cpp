// The program opens the file itself and hands the descriptor over: what is hashed is what is read, the child needs no
// path, and missing and forbidden files are told apart here. A child serves one document until it is dropped.
#include "documents/reader_client.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "documents/child_process.h"
#include "documents/fingerprint.h"
#include "documents/utf8.h"

namespace lectern::documents {
namespace {

constexpr int most_failed_pages = 3;
constexpr std::int64_t most_text_bytes = std::int64_t{1} << 30;

/// Waiting takes longer than computing on a busy machine.
std::chrono::milliseconds waiting_time(const ReaderOptions& options) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(options.cpu_s * 4000) + 2000);
}

Descriptor open_file(const std::string& path) {
  // O_NONBLOCK: a named pipe must not block; it is refused below.
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0) {
    if (errno == ENOENT || errno == ENOTDIR) throw Error(ErrorKind::missing, path + ": no such file");
    if (errno == EACCES || errno == EPERM) throw Error(ErrorKind::permission, path + ": no permission to read it");
    throw Error(ErrorKind::missing, path + ": cannot be opened: " + std::strerror(errno));
  }
  struct stat info {};
  if (fstat(file.get(), &info) != 0) throw Error(ErrorKind::missing, path + ": " + std::strerror(errno));
  if (S_ISDIR(info.st_mode)) throw Error(ErrorKind::unsupported, path + ": is a folder, not a document");
  if (!S_ISREG(info.st_mode)) throw Error(ErrorKind::unsupported, path + ": is not a regular file");
  if (info.st_size == 0) throw Error(ErrorKind::empty, path + ": the file is empty");
  return file;
}

std::string own_folder() {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t length = readlink("/proc/self/exe", buffer.data(), buffer.size() - 1);
  if (length <= 0) return {};
  const std::string path(buffer.data(), static_cast<std::size_t>(length));
  return path.substr(0, path.find_last_of('/') + 1);
}

std::string base_name(const std::string& path) {
  return path.substr(path.find_last_of('/') + 1);
}

bool is_fatal(ErrorKind kind) {
  return kind == ErrorKind::timed_out || kind == ErrorKind::crashed || kind == ErrorKind::too_large;
}

bool has_text(const Page& page) {
  for (char32_t c : decode_utf8(page.text)) {
    if (!is_space(c)) return true;
  }
  return false;
}

}  // namespace

std::string find_reader(const std::string& program) {
  std::string found = program;
  if (found.empty()) {
    const char* variable = std::getenv("LECTERN_READER");
    found = variable != nullptr && *variable != '\0' ? variable : own_folder() + "lectern-reader";
  }
  if (access(found.c_str(), X_OK) != 0) {
    throw Error(ErrorKind::setup,
                found + ": the document reader is not there; set LECTERN_READER to the program lectern-reader");
  }
  return found;
}

struct ReaderProcess::State {
  State(const std::string& program, int document, const std::string& subject) : child(program, document, subject) {}
  ReaderOptions options;
  std::string path;
  ChildProcess child;
  DocumentInfo info;
  std::int64_t problems = 0;

  protocol::Message ask(const char* command, nlohmann::json arguments, const std::stop_token& stop) {
    arguments["command"] = command;
    protocol::Message answer = child.ask({std::move(arguments), {}}, waiting_time(options), stop);
    problems = answer.header.value("problems", problems);
    return answer;
  }

  /// Decodes an answer; one that does not hold what it should is a broken reader.
  template <typename Decode>
  auto decoded(const Decode& decode) -> decltype(decode()) {
    try {
      return decode();
    } catch (const std::exception& broken) {
      throw Error(ErrorKind::crashed, path + ": the reader answered nonsense: " + broken.what());
    }
  }
};

ReaderProcess::ReaderProcess(std::unique_ptr<State> state) : state_(std::move(state)) {}
ReaderProcess::ReaderProcess(ReaderProcess&&) noexcept = default;
ReaderProcess& ReaderProcess::operator=(ReaderProcess&&) noexcept = default;
ReaderProcess::~ReaderProcess() = default;

ReaderProcess ReaderProcess::open(const std::string& path, const ReaderOptions& options, std::stop_token stop) {
  const Descriptor file = open_file(path);
  const std::string program = find_reader(options.program);
  auto state = std::make_unique<State>(program, file.get(), path);
  state->options = options;
  state->path = path;
  const protocol::Message answer = state->ask("open",
                                              {{"name", base_name(path)},
                                               {"password", options.password},
                                               {"memory_bytes", options.memory_bytes},
                                               {"cpu_s", options.cpu_s}},
                                              stop);
  state->info = state->decoded([&answer] {
    DocumentInfo info;
    info.kind = document_kind(answer.header.at("kind").get<std::string>());
    info.pages = answer.header.at("pages").get<int>();
    info.title = answer.header.at("title").get<std::string>();
    info.author = answer.header.at("author").get<std::string>();
    info.report = protocol::decode_report(answer.header.at("report"));
    info.report.pages = info.pages;
    if (info.pages < 0) throw std::runtime_error("number of pages");
    return info;
  });
  state->info.fingerprint = fingerprint_descriptor(file.get(), path);
  return ReaderProcess(std::move(state));
}

const DocumentInfo& ReaderProcess::info() const {
  return state_->info;
}
std::int64_t ReaderProcess::problems() const {
  return state_->problems;
}
int ReaderProcess::process_id() const {
  return static_cast<int>(state_->child.id());
}

Page ReaderProcess::page(int number, std::stop_token stop) {
  const protocol::Message answer = state_->ask("page", {{"number", number}}, stop);
  Page page = state_->decoded([&answer] { return protocol::decode_page(answer); });
  page.number = number;
  return page;
}

Picture ReaderProcess::render(int number, double dpi, std::stop_token stop) {
  protocol::Message answer = state_->ask("render", {{"number", number}, {"dpi", dpi}}, stop);
  return state_->decoded([&answer] {
    Picture picture{answer.header.at("width").get<int>(), answer.header.at("height").get<int>(),
                    std::move(answer.body)};
    if (picture.width < 1 || picture.height < 1 ||
        static_cast<std::int64_t>(picture.pixels.size()) != std::int64_t{4} * picture.width * picture.height) {
      throw std::runtime_error("size of the picture");
    }
    return picture;
  });
}

std::vector<OutlineItem> ReaderProcess::outline(std::stop_token stop) {
  const protocol::Message answer = state_->ask("outline", nlohmann::json::object(), stop);
  return state_->decoded([&] { return protocol::decode_outline(answer.header.at("outline"), state_->info.pages); });
}

std::string ReaderProcess::misbehave(const std::string& how) {
  return state_->ask("misbehave", {{"how", how}}, {}).header.value("result", std::string());
}

Document read_document(const std::string& path, const ReadOptions& options, std::stop_token stop) {
  ReaderProcess reader = ReaderProcess::open(path, options, stop);
  const DocumentInfo& info = reader.info();
  Document document;
  document.fingerprint = info.fingerprint;
  document.path = path;
  document.name = base_name(path);
  document.kind = info.kind;
  document.title = info.title;
  document.author = info.author;
  document.report = info.report;

  const int pages = info.pages;
  std::int64_t text_bytes = 0, earlier_problems = 0;
  int failed_pages = 0;
  for (int number = 1; number <= pages; ++number) {
    Page page;
    try {
      page = reader.page(number, stop);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::cancelled || ++failed_pages > most_failed_pages) throw;
      document.report.warnings.push_back("page " + std::to_string(number) + " could not be read (" +
                                         name(error.kind()) + ")");
      page.number = number;
      if (is_fatal(error.kind()) && number < pages) {
        earlier_problems += reader.problems();
        reader = ReaderProcess::open(path, options, stop);
      }
    }
    text_bytes += static_cast<std::int64_t>(page.text.size());
    if (text_bytes > most_text_bytes) throw Error(ErrorKind::too_large, path + ": holds more than 1 GB of text");
    if (!has_text(page)) document.report.pages_without_text.push_back(number);
    document.pages.push_back(std::move(page));
    if (options.progress) options.progress(number, pages);
  }
  try {
    if (document.kind == DocumentKind::pdf) document.outline = reader.outline(stop);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::cancelled) throw;
    document.report.warnings.push_back("the outline could not be read");
  }
  document.report.pages = pages;
  document.report.problems = earlier_problems + reader.problems();
  return document;
}

SourceList list_folder(const std::string& folder, const ReaderOptions& options, std::stop_token stop) {
  const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY));
  if (descriptor.get() < 0) {
    if (errno == EACCES || errno == EPERM) throw Error(ErrorKind::permission, folder + ": no permission to read it");
    if (errno == ENOTDIR) throw Error(ErrorKind::unsupported, folder + ": is not a folder");
    throw Error(ErrorKind::missing, folder + ": no such folder");
  }
  ChildProcess child(find_reader(options.program), descriptor.get(), folder);
  const protocol::Message request{
      {{"command", "list"}, {"memory_bytes", options.memory_bytes}, {"cpu_s", options.cpu_s * 4}}, {}};
  const protocol::Message answer = child.ask(request, 4 * waiting_time(options), stop);
  SourceList list;
  try {
    list = protocol::decode_list(answer.header, folder);
  } catch (const std::exception& broken) {
    throw Error(ErrorKind::crashed, folder + ": the reader answered nonsense: " + broken.what());
  }
  if (list.files.empty()) {
    const std::string skipped = skipped_summary(list);
    throw Error(ErrorKind::empty, folder + ": holds no readable files" + (skipped.empty() ? "" : " (" + skipped + ")"));
  }
  return list;
}

}  // namespace lectern::documents
