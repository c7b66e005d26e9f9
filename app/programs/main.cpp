// The desktop program: options, theme, language, workspace, window. Everything else is in app and ui.
#include <QApplication>
#include <QCommandLineParser>
#include <QDir>
#include <QFileInfo>
#include <QMessageBox>
#include <QTemporaryDir>
#include <cstdio>
#include <exception>
#include <memory>

#include "app/local_workspace.h"
#include "app/settings.h"
#include "ui/language.h"
#include "ui/main_window.h"
#include "ui/screenshots.h"
#include "ui/theme.h"

namespace {

using namespace lectern;

QString stored_theme(const app::Settings& settings) {
  switch (settings.theme) {
    case app::Theme::light: return QStringLiteral("light");
    case app::Theme::dark: return QStringLiteral("dark");
    case app::Theme::system: break;
  }
  return QStringLiteral("system");
}

/// The samples: installed beside the program, or in the source tree that it was built in.
QString sample_folder() {
  QDir folder(QCoreApplication::applicationDirPath());
  const QString installed = folder.filePath(QStringLiteral("../share/lectern/samples"));
  if (QFileInfo::exists(installed)) return QDir::cleanPath(installed);
  do {
    const QString here = folder.filePath(QStringLiteral("resources/samples"));
    if (QFileInfo::exists(here + QStringLiteral("/services-agreement.pdf"))) return here;
  } while (folder.cdUp());
  return {};
}

QStringList sample_paths() {
  const QString folder = sample_folder();
  return folder.isEmpty() ? QStringList() : QStringList{folder + QStringLiteral("/services-agreement.pdf")};
}

int take_pictures(const QString& folder) {
  if (sample_paths().isEmpty()) {
    std::fputs("lectern: the sample document is missing: install the samples beside the program\n", stderr);
    return 1;
  }
  // A library of its own: the pictures show the sample, never what the person reads.
  QTemporaryDir data;
  app::LocalWorkspaceOptions options = app::default_workspace_options();
  options.library = data.filePath(QStringLiteral("library.sqlite")).toStdString();
  options.settings = data.filePath(QStringLiteral("settings.json")).toStdString();
  options.kept_folder.clear();
  options.open_model = false;
  const QString damaged = data.filePath(QStringLiteral("board-minutes.pdf"));
  QFile file(damaged);
  if (!file.open(QIODevice::WriteOnly) ||
      file.write("These minutes were saved as text and renamed.\n\x01\x02\x03") < 0) {
    std::fputs("lectern: no temporary file can be written: free some space and try again\n", stderr);
    return 1;
  }
  file.close();
  app::LocalWorkspace workspace(options);
  ui::ScreenshotOptions pictures;
  pictures.folder = folder;
  pictures.sample_paths = sample_paths();
  pictures.question = QStringLiteral("Where is the seat of the arbitration and in which language is it held?");
  pictures.damaged_file = damaged;
  QString problem;
  for (const QString& name : ui::take_screenshots(workspace, pictures, problem))
    std::puts(qPrintable(QDir(folder).filePath(name)));
  if (!problem.isEmpty()) std::fprintf(stderr, "lectern: %s\n", qPrintable(problem));
  return problem.isEmpty() ? 0 : 1;
}

int run(QApplication& application, const QCommandLineParser& parser) {
  const app::LoadedSettings settings = app::load_settings(app::settings_file());
  if (!settings.warning.empty()) std::fprintf(stderr, "lectern: %s\n", settings.warning.c_str());
  // Where the library cannot be opened the window works all the same, with a library that lasts as long as it does.
  std::unique_ptr<QTemporaryDir> passing;
  std::unique_ptr<app::LocalWorkspace> opened;
  QString warning;
  try {
    opened = std::make_unique<app::LocalWorkspace>(app::default_workspace_options());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "lectern: %s\n", error.what());
    warning = QString::fromUtf8(error.what());
    passing = std::make_unique<QTemporaryDir>();
    if (!passing->isValid()) throw;
    app::LocalWorkspaceOptions instead = app::default_workspace_options();
    instead.library = passing->filePath(QStringLiteral("library.sqlite")).toStdString();
    opened = std::make_unique<app::LocalWorkspace>(instead);
  }
  app::LocalWorkspace& workspace = *opened;
  const auto chosen = [&](const QString& option, const QString& stored) {
    if (parser.isSet(option)) return parser.value(option);
    const QString remembered = workspace.remembered(0, option);
    return remembered.isEmpty() ? stored : remembered;
  };
  ui::install_language(chosen(QStringLiteral("language"), QString::fromStdString(settings.settings.language)));
  ui::apply_theme(ui::theme_choice(chosen(QStringLiteral("theme"), stored_theme(settings.settings))));
  ui::WindowOptions options;
  options.sample_paths = sample_paths();
  options.warning = warning;
  ui::MainWindow window(workspace, options);
  window.show();
  QStringList paths;
  for (const QString& path : parser.positionalArguments()) paths << QFileInfo(path).absoluteFilePath();
  window.add_paths(paths);
  return application.exec();
}

}  // namespace

int main(int argc, char** argv) {
  bool pictures = false;
  for (int i = 1; i < argc; ++i) pictures = pictures || QByteArray(argv[i]).startsWith("--screenshots");
  const bool display = qEnvironmentVariableIsSet("DISPLAY") || qEnvironmentVariableIsSet("WAYLAND_DISPLAY");
  if (!display && !qEnvironmentVariableIsSet("QT_QPA_PLATFORM")) {
    if (!pictures) {
      std::fputs("lectern: there is no display: start it in a desktop session, or ask with lectern-cli\n", stderr);
      return 1;
    }
    qputenv("QT_QPA_PLATFORM", "offscreen");
  }
  QApplication application(argc, argv);
  QApplication::setApplicationName(QStringLiteral("lectern"));
  QApplication::setApplicationDisplayName(QStringLiteral("Lectern"));
  QApplication::setDesktopFileName(QStringLiteral("lectern"));
  QCommandLineParser parser;
  parser.setApplicationDescription(QStringLiteral("Ask long documents and see the proof."));
  parser.addHelpOption();
  parser.addPositionalArgument(QStringLiteral("PATH"), QStringLiteral("Files and folders to add."),
                               QStringLiteral("[PATH...]"));
  parser.addOption({QStringLiteral("theme"), QStringLiteral("system, light or dark."), QStringLiteral("NAME")});
  parser.addOption({QStringLiteral("language"), QStringLiteral("en or zh_CN."), QStringLiteral("NAME")});
  parser.addOption({QStringLiteral("screenshots"),
                    QStringLiteral("Write a picture of each state into FOLDER and leave."), QStringLiteral("FOLDER")});
  parser.process(application);
  try {
    if (!parser.isSet(QStringLiteral("screenshots"))) return run(application, parser);
    ui::install_language(parser.value(QStringLiteral("language")).isEmpty() ? QStringLiteral("en")
                                                                            : parser.value(QStringLiteral("language")));
    ui::apply_theme(ui::ThemeChoice::light);
    return take_pictures(parser.value(QStringLiteral("screenshots")));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "lectern: %s\n", error.what());
    if (!pictures) QMessageBox::critical(nullptr, QStringLiteral("Lectern"), QString::fromUtf8(error.what()));
    return 1;
  }
}
