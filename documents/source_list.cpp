// Kinds by name, and counts as a sentence. Extensions are those of the languages people keep in repositories.
#include "documents/source_list.h"

#include <algorithm>
#include <string_view>

namespace lectern::documents {
namespace {

constexpr std::string_view code_extensions[] = {
    "adb",    "ads",   "asm",  "awk", "bash",   "bat",   "c",     "cc",   "cfg",  "cl",   "clj",    "cmake",
    "cpp",    "cs",    "css",  "cu",  "cuh",    "cxx",   "d",     "dart", "diff", "el",   "elm",    "erl",
    "ex",     "exs",   "f",    "f03", "f90",    "f95",   "fs",    "fsx",  "glsl", "go",   "gradle", "groovy",
    "h",      "hh",    "hlsl", "hpp", "hrl",    "hs",    "htm",   "html", "hxx",  "idl",  "inc",    "ini",
    "ipp",    "java",  "jl",   "js",  "json",   "jsonl", "jsx",   "kt",   "kts",  "lean", "less",   "lisp",
    "lua",    "m",     "mak",  "mjs", "mk",     "ml",    "mli",   "mm",   "nim",  "nix",  "pas",    "patch",
    "php",    "pl",    "pm",   "pro", "proto",  "ps1",   "py",    "pyi",  "pyx",  "qml",  "qrc",    "qss",
    "r",      "rb",    "rkt",  "rs",  "s",      "sass",  "scala", "scm",  "scss", "sh",   "sql",    "sv",
    "svelte", "swift", "tcl",  "tf",  "thrift", "toml",  "ts",    "tsx",  "v",    "vala", "vb",     "vhd",
    "vhdl",   "vim",   "vue",  "xml", "xsd",    "xsl",   "yaml",  "yml",  "zig",  "zsh"};
constexpr std::string_view code_names[] = {"makefile", "gnumakefile", "dockerfile",  "cmakelists.txt",
                                           "rakefile", "gemfile",     "jenkinsfile", "meson.build",
                                           "build",    "workspace",   "justfile"};
constexpr std::string_view markdown_extensions[] = {"md", "markdown", "mdown", "mkd"};

template <typename List>
bool holds(const List& list, std::string_view value) {
  return std::find(std::begin(list), std::end(list), value) != std::end(list);
}

const char* plural_text(SkipReason reason) {
  switch (reason) {
    case SkipReason::ignored: return "ignored by .gitignore";
    case SkipReason::vendored: return "vendored or built";
    case SkipReason::generated: return "generated";
    case SkipReason::binary: return "binary";
    case SkipReason::too_large: return "too large";
    case SkipReason::hidden: return "hidden";
    case SkipReason::link: return "symbolic links";
    case SkipReason::special: return "special files";
    case SkipReason::unreadable: return "without permission";
    case SkipReason::empty: return "empty";
    case SkipReason::too_many: return "beyond the limits on depth and number";
  }
  return "";
}

}  // namespace

const char* name(SkipReason reason) {
  switch (reason) {
    case SkipReason::ignored: return "ignored";
    case SkipReason::vendored: return "vendored";
    case SkipReason::generated: return "generated";
    case SkipReason::binary: return "binary";
    case SkipReason::too_large: return "too_large";
    case SkipReason::hidden: return "hidden";
    case SkipReason::link: return "link";
    case SkipReason::special: return "special";
    case SkipReason::unreadable: return "unreadable";
    case SkipReason::empty: return "empty";
    case SkipReason::too_many: return "too_many";
  }
  return "";
}

DocumentKind kind_by_name(const std::string& file_name) {
  std::string lower = file_name.substr(file_name.find_last_of('/') + 1);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (holds(code_names, lower)) return DocumentKind::code;
  const std::size_t dot = lower.find_last_of('.');
  const std::string extension = dot == std::string::npos ? std::string() : lower.substr(dot + 1);
  if (extension == "pdf") return DocumentKind::pdf;
  if (holds(markdown_extensions, extension)) return DocumentKind::markdown;
  return holds(code_extensions, extension) ? DocumentKind::code : DocumentKind::text;
}

std::string skipped_summary(const SourceList& list) {
  std::string out;
  for (const SkipCount& count : list.skipped) {
    if (!out.empty()) out += ", ";
    out += std::to_string(count.files) + " " + plural_text(count.reason);
  }
  return out.empty() ? out : out + " skipped";
}

}  // namespace lectern::documents
