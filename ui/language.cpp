// English needs a translation too: it holds the plural forms of "%n page(s)".
#include "ui/language.h"

#include <QCoreApplication>
#include <QLibraryInfo>
#include <QLocale>
#include <QTranslator>

namespace lectern::ui {

QString install_language(const QString& language) {
  const QLocale wanted = language.isEmpty() ? QLocale::system() : QLocale(language);
  const QString chosen = wanted.language() == QLocale::Chinese ? QStringLiteral("zh_CN") : QStringLiteral("en");
  QLocale::setDefault(QLocale(chosen));
  auto* own = new QTranslator(qApp);
  if (own->load(QStringLiteral(":/lectern/i18n/lectern_%1.qm").arg(chosen))) QCoreApplication::installTranslator(own);
  if (chosen != QLatin1String("en")) {
    auto* qt = new QTranslator(qApp);
    if (qt->load(QStringLiteral("qtbase_") + chosen, QLibraryInfo::path(QLibraryInfo::TranslationsPath))) {
      QCoreApplication::installTranslator(qt);
    }
  }
  return chosen;
}

}  // namespace lectern::ui
