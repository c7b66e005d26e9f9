// Runs every test object offscreen, with folders of its own. Arguments go to Qt Test: `ui_test -v2`, or one function by
// name.
#include <QApplication>
#include <QTemporaryDir>
#include <QTest>
#include <cstdio>

#include "tests/ui/ui_tests.h"
#include "ui/language.h"
#include "ui/theme.h"

int main(int argc, char** argv) {
  QTemporaryDir folder;
  for (const char* name : {"XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"}) {
    qputenv(name, folder.path().toLocal8Bit());
  }
  if (!qEnvironmentVariableIsSet("QT_QPA_PLATFORM")) qputenv("QT_QPA_PLATFORM", "offscreen");
  QApplication application(argc, argv);
  lectern::ui::install_language(QStringLiteral("en"));
  lectern::ui::apply_theme(lectern::ui::ThemeChoice::light);
  int failed = 0;
  for (const auto make :
       {lectern::testing::library_test, lectern::testing::markdown_test, lectern::testing::conversation_test,
        lectern::testing::reader_test, lectern::testing::window_test, lectern::testing::states_test}) {
    const std::unique_ptr<QObject> test = make();
    // A function that was named on the command line belongs to one of the objects only.
    if (argc > 1 && argv[1][0] != '-' &&
        test->metaObject()->indexOfSlot(QByteArray(argv[1]).append("()").constData()) < 0)
      continue;
    failed += QTest::qExec(test.get(), argc, argv);
  }
  if (failed == 0) std::puts("ui_test: all passed");
  return failed == 0 ? 0 : 1;
}
