// A depth-first walk in byte order. What a file is, its first 8 KB decide. Ignore rules are libgit2's own: in a
// repository those of the repository; elsewhere an in-memory repository is laid over the folder, so that its .gitignore
// files mean what they say.
#include "documents/source_tree.h"

#include <git2.h>
#include <git2/sys/repository.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "documents/error.h"
#include "documents/utf8.h"

namespace lectern::documents {
namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;

constexpr int deepest = 64;
constexpr std::size_t most_files = 20'000;
constexpr std::int64_t most_entries = 1'000'000;
constexpr std::int64_t largest_text = std::int64_t{4} << 20;
constexpr std::int64_t largest_pdf = std::int64_t{1} << 30;

constexpr std::string_view vendored_folders[] = {
    "node_modules", "bower_components", "jspm_packages", "third_party", "third-party", "thirdparty",    "3rdparty",
    "vendor",       "vendors",          "external_libs", "Pods",        "Carthage",    "site-packages", "dist-packages",
    "venv",         "virtualenv",       "__pycache__",   "build",       "dist",        "out",           "target",
    "CMakeFiles",   "_build",           "DerivedData",   "coverage",    "bazel-out"};
constexpr std::string_view vendored_prefixes[] = {"cmake-build-", "bazel-", "build-"};
constexpr std::string_view generated_names[] = {
    "package-lock.json", "yarn.lock",    "pnpm-lock.yaml", "Cargo.lock",          "poetry.lock", "Pipfile.lock",
    "composer.lock",     "Gemfile.lock", "go.sum",         "npm-shrinkwrap.json", "flake.lock",  "uv.lock"};
constexpr std::string_view generated_endings[] = {".min.js",      ".min.css", ".js.map",     ".css.map",
                                                  ".pb.go",       ".pb.cc",   ".pb.h",       "_pb2.py",
                                                  "_pb2_grpc.py", ".g.dart",  ".designer.cs"};

template <typename List>
bool holds(const List& list, std::string_view value) {
  return std::find(std::begin(list), std::end(list), value) != std::end(list);
}

bool is_vendored(const std::string& name) {
  return holds(vendored_folders, name) || std::any_of(std::begin(vendored_prefixes), std::end(vendored_prefixes),
                                                      [&](std::string_view p) { return name.starts_with(p); });
}

bool has_generated_name(const std::string& name) {
  return holds(generated_names, name) || std::any_of(std::begin(generated_endings), std::end(generated_endings),
                                                     [&](std::string_view e) { return name.ends_with(e); });
}

/// Machine-written by its own words, or minified.
bool has_generated_content(std::string_view start, DocumentKind kind) {
  std::string head(start.substr(0, 2048));
  std::transform(head.begin(), head.end(), head.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (head.find("do not edit") != std::string::npos && head.find("generated") != std::string::npos) return true;
  if (head.find("@generated") != std::string::npos) return true;
  if (kind != DocumentKind::code || start.size() < 4096) return false;
  return std::count(start.begin(), start.end(), '\n') * 1000 < static_cast<std::int64_t>(start.size());
}

bool is_binary(std::string_view start) {
  for (std::string_view mark : {"\xFF\xFE"sv, "\xFE\xFF"sv, "\xEF\xBB\xBF"sv}) {
    if (start.starts_with(mark)) return false;
  }
  if (start.find('\0') != std::string_view::npos) return true;
  const auto controls = std::count_if(start.begin(), start.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 && (byte < 7 || byte > 13) && byte != 0x1B;
  });
  return controls * 50 > static_cast<std::int64_t>(start.size());
}

/// The ignore rules of a folder.
class IgnoreRules {
 public:
  explicit IgnoreRules(const std::string& folder) {
    git_libgit2_init();
    // Whose folder it is matters for running hooks and configuration, not for reading rules.
    git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
    git_repository* opened = nullptr;
    if (git_repository_open_ext(&opened, folder.c_str(), 0, nullptr) == 0) {
      repository_.reset(opened);
      const char* root = git_repository_workdir(opened);
      std::error_code failed;
      if (root != nullptr)
        prefix_ = fs::relative(fs::canonical(folder, failed), fs::canonical(root, failed), failed).string();
      if (prefix_ == ".") prefix_.clear();
      if (root != nullptr && !failed && !prefix_.starts_with("..")) return;
      prefix_.clear();
      repository_.reset();
    }
    if (git_repository_new(&opened) != 0) return;
    repository_.reset(opened);
    git_config* empty = nullptr;
    if (git_config_new(&empty) == 0) {
      git_repository_set_config(opened, empty);
      git_config_free(empty);
    }
    std::error_code failed;
    const std::string absolute = fs::canonical(folder, failed).string();
    if (failed || git_repository_set_workdir(opened, absolute.c_str(), 0) != 0) repository_.reset();
  }
  IgnoreRules(const IgnoreRules&) = delete;
  IgnoreRules& operator=(const IgnoreRules&) = delete;
  ~IgnoreRules() {
    repository_.reset();
    git_libgit2_shutdown();
  }

  bool is_ignored(const std::string& relative, bool is_folder) const {
    if (!repository_) return false;
    const std::string path = (prefix_.empty() ? relative : prefix_ + "/" + relative) + (is_folder ? "/" : "");
    int ignored = 0;
    return git_ignore_path_is_ignored(&ignored, repository_.get(), path.c_str()) == 0 && ignored != 0;
  }

 private:
  struct Free {
    void operator()(git_repository* repository) const { git_repository_free(repository); }
  };
  std::unique_ptr<git_repository, Free> repository_;
  std::string prefix_;  // of the folder inside the repository
};

class Walker {
 public:
  explicit Walker(const std::string& folder) : root_(folder), rules_(folder) {}

  SourceList run() {
    std::error_code failed;
    fs::directory_iterator(root_, failed);
    if (failed)
      throw Error(failed == std::errc::permission_denied ? ErrorKind::permission : ErrorKind::missing,
                  "the folder cannot be read");
    walk("", 0);
    SourceList list;
    list.files = std::move(files_);
    std::sort(list.files.begin(), list.files.end(),
              [](const SourceFile& a, const SourceFile& b) { return a.relative < b.relative; });
    for (std::size_t i = 0; i < skipped_.size(); ++i) {
      if (skipped_[i].files > 0)
        list.skipped.push_back({static_cast<SkipReason>(i), skipped_[i].files, skipped_[i].example});
    }
    return list;
  }

 private:
  void skip(SkipReason reason, const std::string& relative) {
    SkipCount& count = skipped_[static_cast<std::size_t>(reason)];
    if (count.files++ == 0) {
      std::int64_t replaced = 0;
      count.example = repair_utf8(relative, replaced);
    }
  }

  void walk(const std::string& relative, int depth) {
    std::vector<fs::directory_entry> entries;
    std::error_code failed;
    for (fs::directory_iterator i(root_ / relative, failed), end; !failed && i != end; i.increment(failed)) {
      if (++entries_seen_ > most_entries) {
        skip(SkipReason::too_many, relative);
        return;
      }
      entries.push_back(*i);
    }
    if (failed) skip(SkipReason::unreadable, relative);
    std::sort(entries.begin(), entries.end(),
              [](const auto& a, const auto& b) { return a.path().native() < b.path().native(); });
    for (const fs::directory_entry& entry : entries) {
      const std::string name = entry.path().filename().string();
      visit(entry, name, relative.empty() ? name : relative + "/" + name, depth);
    }
  }

  void visit(const fs::directory_entry& entry, const std::string& name, const std::string& relative, int depth) {
    std::error_code failed;
    const fs::file_status status = entry.symlink_status(failed);
    if (failed || !is_valid_utf8(relative)) return skip(SkipReason::unreadable, relative);
    if (name == ".git") return;
    if (fs::is_symlink(status)) return skip(SkipReason::link, relative);
    if (name.front() == '.') return skip(SkipReason::hidden, relative);
    const bool is_folder = fs::is_directory(status);
    if (rules_.is_ignored(relative, is_folder)) return skip(SkipReason::ignored, relative);
    if (is_folder) {
      if (is_vendored(name)) return skip(SkipReason::vendored, relative);
      if (depth >= deepest) return skip(SkipReason::too_many, relative);
      return walk(relative, depth + 1);
    }
    if (!fs::is_regular_file(status)) return skip(SkipReason::special, relative);
    if (has_generated_name(name)) return skip(SkipReason::generated, relative);
    const std::uintmax_t size = entry.file_size(failed);
    if (failed) return skip(SkipReason::unreadable, relative);
    if (size == 0) return skip(SkipReason::empty, relative);
    judge(entry.path(), name, relative, static_cast<std::int64_t>(size));
  }

  void judge(const fs::path& path, const std::string& name, const std::string& relative, std::int64_t size) {
    std::ifstream file(path, std::ios::binary);
    std::array<char, 8192> buffer{};
    file.read(buffer.data(), buffer.size());
    const std::string_view start(buffer.data(), static_cast<std::size_t>(file.gcount()));
    if (start.empty()) return skip(SkipReason::unreadable, relative);
    DocumentKind kind = kind_by_name(name);
    if (kind == DocumentKind::pdf || start.starts_with("%PDF-")) {
      kind = DocumentKind::pdf;
      if (size > largest_pdf) return skip(SkipReason::too_large, relative);
    } else {
      if (is_binary(start)) return skip(SkipReason::binary, relative);
      if (size > largest_text) return skip(SkipReason::too_large, relative);
      if (has_generated_content(start, kind)) return skip(SkipReason::generated, relative);
    }
    if (files_.size() >= most_files) return skip(SkipReason::too_many, relative);
    files_.push_back({path.string(), relative, kind, size});
  }

  fs::path root_;
  IgnoreRules rules_;
  std::vector<SourceFile> files_;
  std::array<SkipCount, static_cast<std::size_t>(SkipReason::too_many) + 1> skipped_;
  std::int64_t entries_seen_ = 0;
};

}  // namespace

SourceList list_source_tree(const std::string& folder) {
  return Walker(folder).run();
}

}  // namespace lectern::documents
