// One pass over the code points. A base character is taken together with its combining marks, since only the whole
// cluster has an NFKC form; every folded character remembers the cluster it came from. White space, dashes and
// quotation marks are decided here and never reach utf8proc. Dropping all white space and remembering dashes as joints
// is what lets a quote match a page whatever the line breaks and hyphenation of the page are, and still be exact.
#include "documents/text_fold.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

#include "documents/utf8.h"

namespace lectern::documents {
namespace {

bool is_dash(char32_t c) {
  return c == '-' || (c >= 0x2010 && c <= 0x2015) || c == 0x2212 || c == 0x2E3A || c == 0x2E3B || c == 0xFE58 ||
         c == 0xFE63 || c == 0xFF0D;
}

bool is_quotation_mark(char32_t c) {
  switch (c) {
    case '"':
    case '\'':
    case '`':
    case 0xAB:
    case 0xBB:
    case 0xB4:
    case 0x2032:
    case 0x2033:
    case 0x2039:
    case 0x203A:
    case 0x300C:
    case 0x300D:
    case 0x300E:
    case 0x300F:
    case 0x301D:
    case 0x301E:
    case 0x301F:
    case 0xFF02:
    case 0xFF07: return true;
    default: return c >= 0x2018 && c <= 0x201F;
  }
}

bool is_dropped(char32_t c) {
  return (c < 0x20 && !is_space(c)) || c == 0x7F || c == 0xAD || (c >= 0x200B && c <= 0x200F) ||
         (c >= 0x202A && c <= 0x202E) || (c >= 0x2060 && c <= 0x2064) || c == 0xFEFF || (c >= 0xFE00 && c <= 0xFE0F);
}

bool is_mark(char32_t c) {
  if (c < 0x300) return false;
  if (c >= 0x1160 && c <= 0x11FF) return true;  // Hangul vowels and final consonants
  if (c == 0xFF9E || c == 0xFF9F) return true;  // half-width voicing marks
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC;
}

class Folder {
 public:
  Folder(const std::vector<char32_t>& input, FoldOptions options) : in_(input), options_(options) {
    out_.text.reserve(in_.size());
    out_.characters.reserve(in_.size());
  }

  FoldedText run() {
    std::size_t i = 0;
    while (i < in_.size()) {
      const char32_t c = in_[i];
      if (is_space(c)) {
        if (space_length_ == 0) space_start_ = i;
        ++space_length_;
        ++i;
      } else if (is_dropped(c)) {
        i = c == 0xAD ? after_soft_hyphen(i) : i + 1;
      } else if (is_dash(c)) {
        i = dash(i);
      } else if (is_quotation_mark(c)) {
        std::size_t end = i + 1;
        while (end < in_.size() && is_quotation_mark(in_[end])) ++end;
        emit('\'', i, end - i);
        i = end;
      } else {
        i = cluster(i);
      }
    }
    return std::move(out_);
  }

 private:
  /// The place of the next line's first character if only blanks and one line break lie between; else 0.
  std::size_t next_line(std::size_t i) const {
    bool broken = false;
    while (i < in_.size() && is_space(in_[i])) {
      if (in_[i] == '\n') {
        if (broken) return 0;
        broken = true;
      }
      ++i;
    }
    return broken && i < in_.size() ? i : 0;
  }

  std::size_t after_soft_hyphen(std::size_t i) const {
    const std::size_t next = next_line(i + 1);
    return next == 0 ? i + 1 : next;
  }

  std::size_t dash(std::size_t i) {
    const bool after_word = i > 0 && is_word_character(in_[i - 1]);
    const std::size_t next = after_word ? next_line(i + 1) : 0;
    const bool hyphenated = next != 0 && is_word_character(in_[next]);
    if (options_.space == FoldSpace::drop) {
      if (joint_ != Joint::dash) joint_ = hyphenated ? Joint::line_end_dash : Joint::dash;
      return i + 1;
    }
    if (!hyphenated) {
      emit('-', i, 1);
      return i + 1;
    }
    const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(in_[next]));
    if (category != UTF8PROC_CATEGORY_LL) emit('-', i, 1);
    return next;
  }

  std::size_t cluster(std::size_t i) {
    std::size_t end = i + 1;
    while (end < in_.size() && end - i < 32 && is_mark(in_[end])) ++end;
    const char32_t c = in_[i];
    if (end == i + 1 && c < 0x80) {
      const bool upper = c >= 'A' && c <= 'Z';
      emit(upper && options_.letters == FoldCase::lower ? c + 32 : c, i, 1);
      return end;
    }
    std::string source;
    for (std::size_t k = i; k < end; ++k) append_utf8(source, in_[k]);
    int flags = UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_COMPOSE;
    if (options_.letters == FoldCase::lower) flags |= UTF8PROC_CASEFOLD;
    utf8proc_uint8_t* mapped = nullptr;
    const utf8proc_ssize_t length =
        utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(source.data()),
                     static_cast<utf8proc_ssize_t>(source.size()), &mapped, static_cast<utf8proc_option_t>(flags));
    const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(mapped, std::free);
    const std::string_view folded =
        length > 0 ? std::string_view(reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(length))
                   : std::string_view(source);
    for (char32_t f : decode_utf8(folded)) {
      if (is_space(f)) continue;
      if (is_quotation_mark(f)) f = '\'';
      emit(f, i, end - i);
    }
    return end;
  }

  void emit(char32_t c, std::size_t start, std::size_t length) {
    if (space_length_ > 0) {
      if (options_.space == FoldSpace::collapse && !out_.characters.empty() && !is_cjk(last_) && !is_cjk(c)) {
        push(' ', space_start_, space_length_);
      }
      space_length_ = 0;
    }
    push(c, start, length);
    last_ = c;
  }

  void push(char32_t c, std::size_t start, std::size_t length) {
    append_utf8(out_.text, c);
    out_.characters.push_back(
        {static_cast<std::uint32_t>(start), static_cast<std::uint16_t>(length > 0xFFFF ? 0xFFFF : length), joint_});
    joint_ = Joint::none;
  }

  const std::vector<char32_t>& in_;
  FoldOptions options_;
  FoldedText out_;
  Joint joint_ = Joint::none;
  char32_t last_ = 0;
  std::size_t space_start_ = 0, space_length_ = 0;
};

}  // namespace

FoldedText fold_with_map(std::string_view text, FoldOptions options) {
  const std::vector<char32_t> input = decode_utf8(text);
  return Folder(input, options).run();
}

std::string fold(std::string_view text, FoldOptions options) {
  return fold_with_map(text, options).text;
}

}  // namespace lectern::documents
