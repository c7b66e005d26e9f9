// One loop: a request in, an answer out. The first request says what to read (the document itself is an open
// descriptor); then the process confines itself, and only then the first byte of the document is looked at. Errors of a
// document are answers; whatever kills the process is told by its exit status.
#include "documents/reader_server.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "documents/reader.h"
#include "documents/reader_protocol.h"
#include "documents/sandbox.h"
#include "documents/source_tree.h"

namespace lectern::documents {
namespace {

using protocol::Message;

bool read_all(char* to, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t got = read(protocol::socket_descriptor, to, bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    to += got;
    bytes -= static_cast<std::size_t>(got);
  }
  return true;
}

std::optional<Message> receive() {
  std::string start(static_cast<std::size_t>(protocol::frame_bytes), '\0');
  if (!read_all(start.data(), start.size())) return std::nullopt;
  const protocol::FrameLengths lengths = protocol::decode_lengths(start);
  std::string header(static_cast<std::size_t>(lengths.header), '\0');
  Message message;
  message.body.resize(static_cast<std::size_t>(lengths.body));
  if (!read_all(header.data(), header.size()) || !read_all(message.body.data(), message.body.size()))
    return std::nullopt;
  message.header = nlohmann::json::parse(header);
  return message;
}

void answer(const Message& message) {
  const std::string frame = protocol::encode(message);
  std::string_view left = frame;
  while (!left.empty()) {
    const ssize_t sent = write(protocol::socket_descriptor, left.data(), left.size());
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) _exit(0);  // the program is gone
    left.remove_prefix(static_cast<std::size_t>(sent));
  }
}

/// The document's bytes, mapped: a PDF of a gigabyte costs address space only.
class Mapping {
 public:
  explicit Mapping(int descriptor) {
    struct stat info {};
    if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode))
      throw Error(ErrorKind::unsupported, "is not a regular file");
    size_ = static_cast<std::size_t>(info.st_size);
    if (size_ == 0) throw Error(ErrorKind::empty, "the file is empty");
    data_ = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data_ == MAP_FAILED)
      throw Error(ErrorKind::too_large, std::string("cannot be mapped: ") + std::strerror(errno));
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { munmap(data_, size_); }
  std::string_view bytes() const { return {static_cast<const char*>(data_), size_}; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Deliberate misbehaviour, so that the limits are tested against a real process.
std::string misbehave(const std::string& how) {
  if (how == "hang") {
    const volatile bool forever = true;
    while (forever) {
    }
  }
  if (how == "sleep") {
    for (;;) sleep(1000);
  }
  if (how == "crash") {
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
    std::abort();
  }
  if (how == "memory") {
    std::vector<std::unique_ptr<char[]>> hoard;
    for (;;) hoard.push_back(std::make_unique<char[]>(std::size_t{64} << 20U));
  }
  if (how == "exit") _exit(0);
  if (how == "babble") {
    const std::string noise(64, 'x');
    [[maybe_unused]] const ssize_t written = write(protocol::socket_descriptor, noise.data(), noise.size());
    for (;;) sleep(1000);
  }
  if (how == "write") return ::open("lectern-reader-was-here", O_WRONLY | O_CREAT, 0600) < 0 ? "refused" : "allowed";
  if (how == "socket") return ::socket(AF_INET, SOCK_STREAM, 0) < 0 ? "refused" : "allowed";
  if (how == "fork") {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    return child < 0 ? "refused" : "allowed";
  }
  if (how == "program") {
    execl("/bin/true", "true", nullptr);
    return "refused";
  }
  if (how == "memory limit") {  // can it lift its own limit?
    const rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
    return setrlimit(RLIMIT_AS, &limit) != 0 ? "refused" : "allowed";
  }
  return "unknown";
}

class Server {
 public:
  Message handle(const Message& request) {
    const auto command = request.header.at("command").get<std::string>();
    if (command == "open") return open(request.header);
    if (command == "list") return list(request.header);
    allow_processor_time(cpu_s_);
    if (command == "misbehave") return {{{"result", misbehave(request.header.at("how").get<std::string>())}}, {}};
    if (!reader_) throw Error(ErrorKind::unsupported, "no document is open");
    Message message;
    if (command == "page") {
      message = protocol::encode_page(reader_->page(request.header.at("number").get<int>()));
    } else if (command == "render") {
      Picture picture = reader_->render(request.header.at("number").get<int>(), request.header.at("dpi").get<double>());
      message = {{{"width", picture.width}, {"height", picture.height}}, std::move(picture.pixels)};
    } else if (command == "outline") {
      message.header["outline"] = protocol::encode_outline(reader_->outline());
    } else {
      throw Error(ErrorKind::unsupported, "unknown request " + command);
    }
    message.header["problems"] = reader_->problems();
    return message;
  }

 private:
  void prepare(const nlohmann::json& header, std::int64_t more_memory) {
    cpu_s_ = header.at("cpu_s").get<double>();
    allow_processor_time(cpu_s_);
    try {
      confine(header.at("memory_bytes").get<std::int64_t>() + more_memory);
    } catch (const std::exception&) {
      _exit(protocol::exit_no_sandbox);
    }
  }

  Message open(const nlohmann::json& header) {
    if (mapping_) throw Error(ErrorKind::unsupported, "a document is open already");
    struct stat info {};
    fstat(protocol::document_descriptor, &info);
    prepare(header, static_cast<std::int64_t>(info.st_size));
    mapping_ = std::make_unique<Mapping>(protocol::document_descriptor);
    reader_ =
        open_reader(mapping_->bytes(), header.at("name").get<std::string>(), header.at("password").get<std::string>());
    const DocumentInfo found = reader_->info();
    return {{{"kind", name(found.kind)},
             {"pages", found.pages},
             {"title", found.title},
             {"author", found.author},
             {"report", protocol::encode_report(found.report)},
             {"problems", reader_->problems()}},
            {}};
  }

  Message list(const nlohmann::json& header) {
    if (fchdir(protocol::document_descriptor) != 0) throw Error(ErrorKind::permission, "the folder cannot be entered");
    prepare(header, 0);
    return {protocol::encode_list(list_source_tree(".")), {}};
  }

  double cpu_s_ = 30;
  std::unique_ptr<Mapping> mapping_;
  std::unique_ptr<Reader> reader_;
};

}  // namespace

int serve() {
  close_range(protocol::document_descriptor + 1, ~0U, 0);
  if (std::setlocale(LC_ALL, "C.UTF-8") == nullptr) std::setlocale(LC_ALL, "");
  Server server;
  try {
    while (const std::optional<Message> request = receive()) {
      Message reply;
      try {
        reply = server.handle(*request);
      } catch (const Error& error) {
        reply = {{{"error", name(error.kind())}, {"message", error.what()}}, {}};
      } catch (const std::bad_alloc&) {
        _exit(protocol::exit_out_of_memory);
      } catch (const std::exception& error) {
        reply = {{{"error", name(ErrorKind::damaged)}, {"message", std::string("cannot be read: ") + error.what()}},
                 {}};
      }
      answer(reply);
    }
  } catch (const std::exception&) {
    return 1;  // a request that is no request
  }
  return 0;
}

}  // namespace lectern::documents
