// Names of the enumerations, as they stand in the database and in JSON.
#include "documents/document.h"

#include <stdexcept>

#include "documents/error.h"

namespace lectern::documents {

const char* name(DocumentKind kind) {
  switch (kind) {
    case DocumentKind::pdf: return "pdf";
    case DocumentKind::text: return "text";
    case DocumentKind::markdown: return "markdown";
    case DocumentKind::code: return "code";
  }
  return "text";
}

DocumentKind document_kind(std::string_view kind) {
  for (DocumentKind known : {DocumentKind::pdf, DocumentKind::text, DocumentKind::markdown, DocumentKind::code}) {
    if (kind == name(known)) return known;
  }
  throw std::invalid_argument("no such kind of document: " + std::string(kind));
}

const char* name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::missing: return "missing";
    case ErrorKind::permission: return "permission";
    case ErrorKind::empty: return "empty";
    case ErrorKind::encrypted: return "encrypted";
    case ErrorKind::damaged: return "damaged";
    case ErrorKind::unsupported: return "unsupported";
    case ErrorKind::too_large: return "too_large";
    case ErrorKind::timed_out: return "timed_out";
    case ErrorKind::crashed: return "crashed";
    case ErrorKind::cancelled: return "cancelled";
    case ErrorKind::setup: return "setup";
  }
  return "damaged";
}

}  // namespace lectern::documents
