// Reads every kept file back, as a check of disk and program. It changes nothing: what is damaged goes into quarantine
// when it is next asked for.
#include <set>

#include "inference/disk/context_folder.h"

namespace lectern::inference {

namespace {

/// What is wrong with the file, or empty.
std::string check_file(OpenFile& file, const ExtentRow& row, std::int64_t& other_versions, std::int64_t& bytes) {
  const ReadHeader read = read_extent_header(file);
  if (read.result == ReadHeader::Result::other_version) {
    ++other_versions;
    return {};
  }
  if (read.result == ReadHeader::Result::damaged) return "its header is damaged";
  if (read.header.extent != row.extent || read.layout->row_bytes != row.row_bytes ||
      read.layout->file_bytes != row.file_bytes)
    return "its header is not that of the index";
  if (file.bytes() < row.bytes()) return "it is shorter than it should be";
  AlignedBuffer buffer;
  for (const Strip& strip : read.layout->strips) {
    if (strip.offset >= row.bytes()) break;  // its state was thinned
    if (buffer.bytes() < strip.padded_bytes()) buffer = AlignedBuffer(strip.padded_bytes());
    const std::span<std::byte> part = buffer.span().first(static_cast<std::size_t>(strip.padded_bytes()));
    file.read(strip.offset, {&part, 1});
    if (checksum(part) != strip.checksum)
      return "the checksum of " + std::to_string(part.size()) + " bytes at " + std::to_string(strip.offset) +
             " does not hold";
  }
  bytes += row.bytes();
  return {};
}

}  // namespace

VerifyReport verify_context_folder(const std::filesystem::path& folder, FileSystem& files) {
  VerifyReport report;
  try {
    std::set<std::string> known;
    const std::filesystem::path path = folder / "index.sqlite";
    const auto entries = files.list(folder / "extents");
    if (entries.empty() && files.list(folder).empty()) return report;  // nothing was ever kept
    std::vector<ExtentRow> rows;
    {
      ContextIndex index(files.database(path), path.string(), Connection::Mode::look_only);
      if (!index.is_empty()) rows = index.all();
    }
    for (const ExtentRow& row : rows) {
      known.insert(row.file);
      ++report.extents;
      std::string wrong;
      try {
        wrong = check_file(*files.open(folder / "extents" / row.file), row, report.other_versions, report.bytes);
      } catch (const FileError& error) {
        if (error.what_failed() == FileError::Kind::forbidden || error.what_failed() == FileError::Kind::other) throw;
        wrong = error.what();
      } catch (const std::bad_alloc&) {
        wrong = "it is too large for this machine's memory";
      }
      if (!wrong.empty()) report.damaged.push_back(row.file + ": " + wrong);
    }
    for (const auto& entry : entries) {
      if (known.contains(entry.name)) continue;
      try {
        const auto file = files.open(folder / "extents" / entry.name);
        const bool is_ours =
            entry.bytes < file_block || read_extent_header(*file).result != ReadHeader::Result::other_version;
        ++(is_ours ? report.orphans : report.other_versions);
      } catch (const FileError&) {
        ++report.orphans;
      }
    }
  } catch (const std::exception& error) {
    report.problem = error.what();
  }
  return report;
}

}  // namespace lectern::inference
