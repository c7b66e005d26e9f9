// Markdown keeps an answer as the model wrote it (that is Markdown already) and quotes the documents under it; HTML
// escapes everything and keeps line breaks, which is plain but can never run anything; JSON holds all messages' fields.
#include "app/conversation_export.h"

#include <ctime>
#include <nlohmann/json.hpp>

#include "app/library.h"
#include "app/records_json.h"
#include "app/session_store.h"

namespace lectern::app {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string iso_time(std::int64_t ms) {
  const std::time_t seconds = static_cast<std::time_t>(ms / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &parts);
  return text;
}

std::string title(const Conversation& conversation) {
  return conversation.session.name.empty() ? "Session " + std::to_string(conversation.session.id)
                                           : conversation.session.name;
}

std::string heading(const Message& message) {
  switch (message.role) {
    case inference::Role::user: return "Question";
    case inference::Role::assistant: return "Answer";
    case inference::Role::system: return "Instructions";
    case inference::Role::tool: return "Tool";
  }
  return {};
}

/// "" for a complete message.
std::string state_note(const Message& message) {
  switch (message.state) {
    case MessageState::complete: return {};
    case MessageState::partial: return "This answer was not finished.";
    case MessageState::stopped: return "This answer was stopped before its end.";
    case MessageState::failed:
      return message.problem.empty() ? "This answer failed." : "This answer failed: " + message.problem;
  }
  return {};
}

std::string status_text(const Citation& citation) {
  switch (citation.status) {
    case CitationStatus::verified: return "verified";
    case CitationStatus::elsewhere: return "found elsewhere";
    case CitationStatus::absent: return "not in the document";
  }
  return {};
}

std::string place(const Citation& citation) {
  std::string text = citation.document;
  if (citation.lines)
    text += (text.empty() ? "" : ", ") + std::string("lines ") + std::to_string(citation.lines->first) + "-" +
            std::to_string(citation.lines->second);
  else if (citation.page > 0)
    text += (text.empty() ? "" : ", ") + std::string("page ") + std::to_string(citation.page);
  if (citation.claimed_page > 0 && citation.page > 0 && citation.claimed_page != citation.page)
    text += " (the answer said page " + std::to_string(citation.claimed_page) + ")";
  return text;
}

std::string coverage_text(const Coverage& coverage) {
  std::string text = "Read " + std::to_string(coverage.pages_given) + " of " + std::to_string(coverage.pages) +
                     " pages, " + std::to_string(coverage.given_tokens) + " tokens, " +
                     std::to_string(coverage.dropped_tokens) + " dropped";
  if (!coverage.pages_without_text.empty())
    text += "; " + std::to_string(coverage.pages_without_text.size()) +
            (coverage.pages_without_text.size() == 1 ? " page has" : " pages have") + " no text";
  return text + ".";
}

std::string one_line(const std::string& text) {
  std::string line;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f';
    if (!space)
      line += c;
    else if (!line.empty() && line.back() != ' ')
      line += ' ';
  }
  return line;
}

/// Text of a document or of a person inside Markdown: shown as it is.
std::string markdown_escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view("\\`*_{}[]<>#|~&!").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string html_escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&': escaped += "&amp;"; break;
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      case '"': escaped += "&quot;"; break;
      case '\'': escaped += "&#39;"; break;
      default: escaped += c;
    }
  }
  return escaped;
}

std::string document_name(const DocumentRow& document) {
  return document.name.empty() ? document.fingerprint : document.name;
}

std::string markdown(const Conversation& conversation) {
  std::string text = "# " + markdown_escaped(one_line(title(conversation))) + "\n\n";
  if (!conversation.documents.empty()) text += "Documents:\n\n";
  for (const DocumentRow& document : conversation.documents)
    text += "- " + markdown_escaped(one_line(document_name(document))) +
            (document.pages > 0 ? " (" + std::to_string(document.pages) + (document.pages == 1 ? " page)" : " pages)")
                                : "") +
            "\n";
  for (const Message& message : conversation.messages) {
    text += "\n## " + heading(message) + "\n\n*" + iso_time(message.created_ms) + "*\n\n";
    text += (message.role == inference::Role::assistant ? message.text : markdown_escaped(message.text)) + "\n";
    if (const std::string note = state_note(message); !note.empty())
      text += "\n*" + markdown_escaped(one_line(note)) + "*\n";
    if (!message.citations.empty()) text += "\n";
    for (const Citation& citation : message.citations)
      text += "- \\[" + std::to_string(citation.marker) + "\\] " + markdown_escaped(one_line(place(citation))) + " (" +
              status_text(citation) + (citation.origin == CitationOrigin::program ? ", found by the program" : "") +
              "): \"" + markdown_escaped(one_line(citation.quote)) + "\"\n";
    if (!message.report) continue;
    for (const Unsupported& item : message.report->unsupported)
      text += "\nNot supported by the text: \"" + markdown_escaped(one_line(item.sentence)) + "\"\n";
    text += "\n" + coverage_text(message.report->coverage) + "\n";
  }
  return text;
}

std::string html(const Conversation& conversation) {
  const std::string name = html_escaped(one_line(title(conversation)));
  std::string text =
      "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n<title>" + name +
      "</title>\n<style>\nbody { max-width: 46em; margin: 2em auto; padding: 0 1em; font-family: sans-serif; "
      "line-height: 1.5; }\n.text { white-space: pre-wrap; }\n.question { background: #eef2f7; padding: "
      "0.6em 1em; border-radius: 6px; }\n.note, time { color: #666; font-size: 0.9em; }\nli.absent { color: "
      "#9a1c1c; }\nq { font-style: italic; }\n</style>\n</head>\n<body>\n<h1>" +
      name + "</h1>\n";
  if (!conversation.documents.empty()) {
    text += "<ul class=\"documents\">\n";
    for (const DocumentRow& document : conversation.documents)
      text += "<li>" + html_escaped(one_line(document_name(document))) + "</li>\n";
    text += "</ul>\n";
  }
  for (const Message& message : conversation.messages) {
    const bool question = message.role == inference::Role::user;
    text += "<section" + std::string(question ? " class=\"question\"" : "") + ">\n<h2>" + heading(message) +
            "</h2>\n<time>" + iso_time(message.created_ms) + "</time>\n<div class=\"text\">" +
            html_escaped(message.text) + "</div>\n";
    if (const std::string note = state_note(message); !note.empty())
      text += "<p class=\"note\">" + html_escaped(note) + "</p>\n";
    if (!message.citations.empty()) {
      text += "<ol class=\"citations\">\n";
      for (const Citation& citation : message.citations)
        text += "<li value=\"" + std::to_string(citation.marker) + "\" class=\"" + app::name(citation.status) + "\">" +
                html_escaped(one_line(place(citation))) + " (" + status_text(citation) +
                (citation.origin == CitationOrigin::program ? ", found by the program" : "") + "): <q>" +
                html_escaped(one_line(citation.quote)) + "</q></li>\n";
      text += "</ol>\n";
    }
    if (message.report) {
      for (const Unsupported& item : message.report->unsupported)
        text += "<p class=\"note\">Not supported by the text: <q>" + html_escaped(item.sentence) + "</q></p>\n";
      text += "<p class=\"note\">" + coverage_text(message.report->coverage) + "</p>\n";
    }
    text += "</section>\n";
  }
  return text + "</body>\n</html>\n";
}

std::string json(const Conversation& conversation) {
  Json result;
  result["session"] = conversation.session.id;
  result["name"] = conversation.session.name;
  result["documents"] = Json::array();
  for (const DocumentRow& document : conversation.documents)
    result["documents"].push_back(
        {{"fingerprint", document.fingerprint}, {"name", document.name}, {"pages", document.pages}});
  result["messages"] = Json::array();
  for (const Message& message : conversation.messages) {
    Json entry = message_json(message);
    entry["created_ms"] = message.created_ms;
    if (message.report) entry["report"] = Json::parse(report_to_text(*message.report), nullptr, false);
    result["messages"].push_back(std::move(entry));
  }
  return dump(result);
}

}  // namespace

std::optional<ExportFormat> export_format(std::string_view name) {
  if (name == "md" || name == "markdown") return ExportFormat::markdown;
  if (name == "html") return ExportFormat::html;
  if (name == "json") return ExportFormat::json;
  return std::nullopt;
}

std::optional<Conversation> load_conversation(Database& database, std::int64_t session, bool all_branches) {
  const SessionStore sessions(database);
  const Library library(database);
  const Transaction one_state(database);
  const std::optional<SessionRow> row = sessions.find(session);
  if (!row) return std::nullopt;
  Conversation conversation{*row, {}, all_branches ? sessions.all_messages(session) : sessions.branch(session)};
  for (const std::string& fingerprint : sessions.documents(session)) {
    DocumentRow unknown;
    unknown.fingerprint = fingerprint;
    conversation.documents.push_back(library.row(fingerprint).value_or(unknown));
  }
  return conversation;
}

std::string export_conversation(const Conversation& conversation, ExportFormat format) {
  switch (format) {
    case ExportFormat::markdown: return markdown(conversation);
    case ExportFormat::html: return html(conversation);
    case ExportFormat::json: return json(conversation);
  }
  return {};
}

std::string sessions_json(const std::vector<Message>& messages) {
  Json array = Json::array();
  for (const Message& message : messages) array.push_back(message_json(message));
  return dump(array);
}

}  // namespace lectern::app
