// Every number that the report holds and that a person can act on is said; nothing is said twice.
#include "ui/report_words.h"

#include <QCoreApplication>
#include <QStringList>
#include <algorithm>

#include "ui/answer_text.h"
#include "ui/library_model.h"

namespace lectern::ui {

namespace {

struct Words {
  Q_DECLARE_TR_FUNCTIONS(lectern::ui::ReportWords)
};

const QString dot = QStringLiteral(" · ");

/// "44–47, 51": runs of pages joined.
QString page_list(const std::vector<app::Coverage::Place>& places) {
  QStringList parts;
  for (std::size_t i = 0; i < places.size() && parts.size() < 6; ++i) {
    std::size_t last = i;
    while (last + 1 < places.size() && places[last + 1].document == places[i].document &&
           places[last + 1].page == places[last].page + 1) {
      ++last;
    }
    parts << (last == i ? QString::number(places[i].page)
                        : QStringLiteral("%1–%2").arg(places[i].page).arg(places[last].page));
    i = last;
  }
  return parts.join(QStringLiteral(", "));
}

}  // namespace

CitationCounts count_citations(const std::vector<app::Citation>& citations) {
  CitationCounts counts;
  for (const app::Citation& citation : citations) {
    if (citation.answer_end < 0) continue;
    switch (citation.status) {
      case app::CitationStatus::verified: ++counts.verified; break;
      case app::CitationStatus::elsewhere: ++counts.elsewhere; break;
      case app::CitationStatus::absent: ++counts.absent; break;
    }
  }
  return counts;
}

QString coverage_words(const app::Coverage& coverage) {
  if (coverage.pages <= 0 && coverage.tokens <= 0) return {};
  QStringList parts;
  parts << Words::tr("Read %1 of %2 pages").arg(grouped(coverage.pages_given), grouped(coverage.pages));
  parts << Words::tr("%1 tokens").arg(grouped(coverage.given_tokens));
  if (coverage.pages_omitted == 0 && coverage.dropped_tokens == 0)
    parts << Words::tr("nothing dropped");
  else
    parts << Words::tr("the rest does not fit: passages were chosen, %1 tokens left out")
                 .arg(grouped(coverage.dropped_tokens));
  if (!coverage.pages_without_text.empty()) {
    parts << Words::tr("without text (scan): p. %1").arg(page_list(coverage.pages_without_text));
  }
  return parts.join(dot);
}

QString miss_words(const std::vector<inference::MissReason>& reasons) {
  using inference::MissReason;
  if (reasons.empty()) return {};
  const auto told =
      std::find_if(reasons.begin(), reasons.end(), [](MissReason reason) { return reason != MissReason::first_read; });
  switch (told == reasons.end() ? reasons.front() : *told) {
    case MissReason::first_read: return Words::tr("because it was not read before");
    case MissReason::model_changed: return Words::tr("because the model file changed");
    case MissReason::settings_changed: return Words::tr("because the model's settings changed");
    case MissReason::build_changed: return Words::tr("because Lectern was updated");
    case MissReason::document_changed: return Words::tr("because a document changed");
    case MissReason::order_changed: return Words::tr("because the order of the documents changed");
    case MissReason::evicted: return Words::tr("because it made room for other readings");
    case MissReason::cleared: return Words::tr("because the kept readings were deleted");
    case MissReason::damaged: return Words::tr("because what was kept is damaged");
    case MissReason::cache_off: return Words::tr("because nothing is kept on this machine");
  }
  return {};
}

QString cost_words(const app::AnswerReport& report) {
  QStringList parts;
  const inference::Usage& usage = report.usage;
  const std::int64_t kept = usage.reused_tokens + usage.loaded_tokens;
  const QString read = grouped(usage.computed_tokens);
  if (usage.loaded_tokens > 0)
    parts << Words::tr("%1 tokens kept (%2 from disk), %3 read").arg(grouped(kept), grouped(usage.loaded_tokens), read);
  else if (kept > 0)
    parts << Words::tr("%1 tokens kept, %2 read").arg(grouped(kept), read);
  else
    parts << Words::tr("%1 tokens read").arg(read);
  // That something is read for the first time needs no words.
  if (std::any_of(usage.miss_reasons.begin(), usage.miss_reasons.end(),
                  [](inference::MissReason reason) { return reason != inference::MissReason::first_read; }))
    parts.back() += Words::tr(", %1").arg(miss_words(usage.miss_reasons));
  if (report.timing.first_token_s > 0) {
    const double seconds = report.timing.first_token_s;
    parts << Words::tr("first word after %1")
                 .arg(seconds < 10 ? Words::tr("%1 s").arg(seconds, 0, 'f', 1) : duration_words(seconds));
  }
  if (report.timing.decode_tokens_per_s > 0)
    parts << Words::tr("%1 tokens/s").arg(report.timing.decode_tokens_per_s, 0, 'f', 0);
  return parts.join(dot);
}

QString ending_words(const app::Message& answer) {
  if (answer.state == app::MessageState::stopped) return Words::tr("Stopped. What was read and written is kept.");
  if (!answer.report) return {};
  switch (answer.report->finish_reason) {
    case inference::FinishReason::length: return Words::tr("The answer reached its length limit and ends here.");
    case inference::FinishReason::window: return Words::tr("The context window is full: the answer ends here.");
    case inference::FinishReason::repetition:
      return Words::tr("The model began to repeat itself: the answer was stopped here.");
    case inference::FinishReason::stop:
    case inference::FinishReason::cancelled: break;
  }
  return {};
}

QString with_sources(const app::Message& answer) {
  QString text = QString::fromStdString(answer.text);
  std::vector<app::Citation> inside, under;
  for (const app::Citation& citation : answer.citations)
    (citation.answer_end >= 0 ? inside : under).push_back(citation);
  std::stable_sort(inside.begin(), inside.end(),
                   [](const auto& a, const auto& b) { return a.answer_end < b.answer_end; });
  std::u32string points = text.toStdU32String();
  for (auto at = inside.rbegin(); at != inside.rend(); ++at) {
    const auto place =
        static_cast<std::size_t>(std::clamp<std::int64_t>(at->answer_end, 0, static_cast<std::int64_t>(points.size())));
    points.insert(place, QStringLiteral(" [%1]").arg(at->marker).toStdU32String());
  }
  text = QString::fromStdU32String(points);
  inside.insert(inside.end(), under.begin(), under.end());
  if (!inside.empty()) text += QStringLiteral("\n\n") + Words::tr("Sources") + QLatin1Char('\n');
  for (const app::Citation& citation : inside) {
    const QString quote = quote_words(citation);
    if (citation.status == app::CitationStatus::absent) {
      text += QStringLiteral("[%1] %2: “%3”\n").arg(citation.marker).arg(Words::tr("not in the documents"), quote);
    } else {
      text += QStringLiteral("[%1] %2, %3: “%4”\n")
                  .arg(QString::number(citation.marker), QString::fromStdString(citation.document),
                       place_words(citation), quote);
    }
  }
  return text;
}

}  // namespace lectern::ui
