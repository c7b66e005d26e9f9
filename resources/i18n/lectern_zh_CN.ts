<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="zh_CN" sourcelanguage="en">
    <context>
        <name>lectern::ui::AnswerText</name>
        <message>
            <source>line %1</source>
            <translation>第 %1 行</translation>
        </message>
        <message>
            <source>lines %1–%2</source>
            <translation>第 %1–%2 行</translation>
        </message>
        <message>
            <source>p. %1</source>
            <translation>第 %1 页</translation>
        </message>
        <message>
            <source>not found</source>
            <translation>未找到</translation>
        </message>
        <message>
            <source>Verified: these words stand there.</source>
            <translation>已核实：原文确有此句。</translation>
        </message>
        <message>
            <source>Verified: Lectern found this passage for the sentence.</source>
            <translation>已核实：Lectern 为此句找到了这段原文。</translation>
        </message>
        <message>
            <source>Found elsewhere: the answer named page %1.</source>
            <translation>在别处找到：回答所说的是第 %1 页。</translation>
        </message>
        <message>
            <source>Found elsewhere in the documents.</source>
            <translation>在文档的别处找到。</translation>
        </message>
        <message>
            <source>Not in the documents: no such words were found.</source>
            <translation>文档中没有：未找到这样的文字。</translation>
        </message>
        <message>
            <source>Answer</source>
            <translation>回答</translation>
        </message>
        <message>
            <source>Not supported by the text: nothing in the documents that were read says this.</source>
            <translation>原文不支持：已读文档中没有这样的内容。</translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::AnswerView</name>
        <message>
            <source>Passages that bear on the question</source>
            <translation>与问题相关的段落</translation>
        </message>
        <message>
            <source>Try again</source>
            <translation>重试</translation>
        </message>
        <message>
            <source>Copy with sources</source>
            <translation>连同出处复制</translation>
        </message>
        <message>
            <source>Copy the answer with the list of its places</source>
            <translation>复制回答及其出处列表</translation>
        </message>
        <message>
            <source>Regenerate</source>
            <translation>重新回答</translation>
        </message>
        <message>
            <source>Answer the same question again; this answer stays as a branch</source>
            <translation>重新回答同一问题；现有回答保留为分支</translation>
        </message>
        <message>
            <source>Edit question</source>
            <translation>修改问题</translation>
        </message>
        <message>
            <source>Change the question and ask again (Up in the empty box)</source>
            <translation>修改问题后重新提问（在空输入框中按 ↑）</translation>
        </message>
        <message>
            <source>Reading %1 of %2 tokens</source>
            <translation>正在阅读 %2 个词元中的第 %1 个</translation>
        </message>
        <message>
            <source>Reading…</source>
            <translation>正在阅读…</translation>
        </message>
        <message>
            <source>%1 left</source>
            <translation>还需 %1</translation>
        </message>
        <message>
            <source>The answer failed.</source>
            <translation>回答失败。</translation>
        </message>
        <message>
            <source>Answering…</source>
            <translation>正在回答…</translation>
        </message>
        <message numerus="yes">
            <source>%n verified</source>
            <translation>
                <numerusform>%n 处已核实</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>%n found elsewhere</source>
            <translation>
                <numerusform>%n 处在别处找到</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>%n not in the documents</source>
            <translation>
                <numerusform>%n 处文档中没有</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>Not supported by the text: %n sentence(s), underlined above</source>
            <translation>
                <numerusform>原文不支持：%n 个句子，已在上文划线</numerusform>
            </translation>
        </message>
        <message>
            <source>Reading</source>
            <translation>阅读进度</translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::ContextMeter</name>
        <message>
            <source>Context</source>
            <translation>上下文</translation>
        </message>
        <message>
            <source>%1 of %2</source>
            <translation>%1 / %2</translation>
        </message>
        <message>
            <source>No model is open.</source>
            <translation>没有打开模型。</translation>
        </message>
        <message>
            <source>%1 tokens</source>
            <translation>%1 词元</translation>
        </message>
        <message>
            <source>kept: costs nothing</source>
            <translation>已保留：无需重读</translation>
        </message>
        <message>
            <source>not read yet</source>
            <translation>尚未阅读</translation>
        </message>
        <message>
            <source>free: %1 tokens</source>
            <translation>空闲：%1 词元</translation>
        </message>
        <message>
            <source>The documents do not fit: passages will be chosen, and the answer says which.</source>
            <translation>文档放不下：将选取段落，回答会说明选了哪些。</translation>
        </message>
        <message>
            <source>instructions</source>
            <translation>系统指令</translation>
        </message>
        <message>
            <source>conversation</source>
            <translation>对话</translation>
        </message>
        <message>
            <source>%1 of them read</source>
            <translation>其中 %1 已读</translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::ConversationPane</name>
        <message>
            <source>Question: %1</source>
            <translation>问题：%1</translation>
        </message>
        <message>
            <source>Conversation</source>
            <translation>对话</translation>
        </message>
        <message>
            <source>Export</source>
            <translation>导出</translation>
        </message>
        <message>
            <source>Save this session as Markdown, HTML or JSON</source>
            <translation>将会话保存为 Markdown、HTML 或 JSON</translation>
        </message>
        <message>
            <source>Ask about the documents that have a tick. Every answer shows the places it rests on.</source>
            <translation>就已勾选的文档提问。每个回答都会标明依据的位置。</translation>
        </message>
        <message>
            <source>New session</source>
            <translation>新会话</translation>
        </message>
        <message>
            <source>Choose a model</source>
            <translation>选择模型</translation>
        </message>
        <message>
            <source>Earlier conversation</source>
            <translation>前一个对话</translation>
        </message>
        <message>
            <source>Later conversation</source>
            <translation>后一个对话</translation>
        </message>
        <message>
            <source>Conversations of this session that start from the documents beside each other</source>
            <translation>本会话中各自从文档开始的对话</translation>
        </message>
        <message>
            <source>%1 of %2</source>
            <translation>%1 / %2</translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::DocumentPane</name>
        <message>
            <source>Reader</source>
            <translation>阅读器</translation>
        </message>
        <message>
            <source>Show or hide the library</source>
            <translation>显示或隐藏文档库</translation>
        </message>
        <message>
            <source>Back</source>
            <translation>后退</translation>
        </message>
        <message>
            <source>Back to where you were (Alt+Left)</source>
            <translation>回到先前的位置 (Alt+Left)</translation>
        </message>
        <message>
            <source>Forward</source>
            <translation>前进</translation>
        </message>
        <message>
            <source>Forward (Alt+Right)</source>
            <translation>前进 (Alt+Right)</translation>
        </message>
        <message>
            <source>Smaller</source>
            <translation>缩小</translation>
        </message>
        <message>
            <source>Smaller (Ctrl+-)</source>
            <translation>缩小 (Ctrl+-)</translation>
        </message>
        <message>
            <source>Larger</source>
            <translation>放大</translation>
        </message>
        <message>
            <source>Larger (Ctrl++)</source>
            <translation>放大 (Ctrl++)</translation>
        </message>
        <message>
            <source>Find in this document</source>
            <translation>在此文档中查找</translation>
        </message>
        <message>
            <source>Find in this document (Ctrl+F)</source>
            <translation>在此文档中查找 (Ctrl+F)</translation>
        </message>
        <message>
            <source>Find</source>
            <translation>查找</translation>
        </message>
        <message>
            <source>Page</source>
            <translation>页</translation>
        </message>
        <message>
            <source>Go to page (Ctrl+G)</source>
            <translation>转到页 (Ctrl+G)</translation>
        </message>
        <message>
            <source>Zoom</source>
            <translation>缩放</translation>
        </message>
        <message>
            <source>Previous match</source>
            <translation>上一处</translation>
        </message>
        <message>
            <source>Previous match (Shift+F3)</source>
            <translation>上一处 (Shift+F3)</translation>
        </message>
        <message>
            <source>Next match</source>
            <translation>下一处</translation>
        </message>
        <message>
            <source>Next match (F3)</source>
            <translation>下一处 (F3)</translation>
        </message>
        <message>
            <source>Close the find bar</source>
            <translation>关闭查找栏</translation>
        </message>
        <message>
            <source>Close (Esc)</source>
            <translation>关闭 (Esc)</translation>
        </message>
        <message>
            <source>of %1</source>
            <translation>/ %1</translation>
        </message>
        <message>
            <source>of %1 lines</source>
            <translation>/ %1 行</translation>
        </message>
        <message>
            <source>Line</source>
            <translation>行</translation>
        </message>
        <message>
            <source>%1 %</source>
            <translation>%1 %</translation>
        </message>
        <message>
            <source>not found</source>
            <translation>未找到</translation>
        </message>
        <message>
            <source>%1 of %2</source>
            <translation>%1 / %2</translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::EmptyState</name>
        <message>
            <source>Add documents…</source>
            <translation>添加文档…</translation>
        </message>
        <message>
            <source>Open the sample</source>
            <translation>打开示例</translation>
        </message>
        <message>
            <source>Choose a model</source>
            <translation>选择模型</translation>
        </message>
        <message>
            <source>Drop files or a folder here</source>
            <translation>把文件或文件夹拖到这里</translation>
        </message>
        <message>
            <source>Add documents</source>
            <translation>添加文档</translation>
        </message>
        <message>
            <source>Ask long documents, see the proof</source>
            <translation>向长文档提问，看到证据</translation>
        </message>
        <message>
            <source>No document is open</source>
            <translation>没有打开文档</translation>
        </message>
        <message>
            <source>Lectern reads whole documents on this computer, keeps the reading, and shows the place behind every answer.</source>
            <translation>Lectern 在这台电脑上通读整份文档，保留读过的内容，并标明每个回答的出处。</translation>
        </message>
        <message>
            <source>Choose a document on the left, or ask about all that have a tick.</source>
            <translation>在左侧选择文档，或就所有已勾选的文档提问。</translation>
        </message>
        <message>
            <source>Let go to add them</source>
            <translation>松开即可添加</translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::EngineStatus</name>
        <message>
            <source>No model</source>
            <translation>没有模型</translation>
        </message>
        <message>
            <source>Opening the model…</source>
            <translation>正在打开模型…</translation>
        </message>
        <message>
            <source>%1 MB</source>
            <translation>%1 MB</translation>
        </message>
        <message>
            <source>%1 GB</source>
            <translation>%1 GB</translation>
        </message>
        <message>
            <source>Click to choose another model</source>
            <translation>点击选择其他模型</translation>
        </message>
        <message>
            <source>Model: %1</source>
            <translation>模型：%1</translation>
        </message>
        <message>
            <source>No model in the model folder</source>
            <translation>模型文件夹中没有模型</translation>
        </message>
        <message>
            <source>Open a model file (GGUF)…</source>
            <translation>打开模型文件 (GGUF)…</translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::LibraryModel</name>
        <message>
            <source>1 s</source>
            <translation>1 秒</translation>
        </message>
        <message>
            <source>%1 s</source>
            <translation>%1 秒</translation>
        </message>
        <message>
            <source>%1 min</source>
            <translation>%1 分钟</translation>
        </message>
        <message>
            <source>%1 h %2 min</source>
            <translation>%1 小时 %2 分钟</translation>
        </message>
        <message>
            <source>opening…</source>
            <translation>正在打开…</translation>
        </message>
        <message>
            <source>reading %1 %</source>
            <translation>已读 %1 %</translation>
        </message>
        <message>
            <source>%1 left</source>
            <translation>还需 %1</translation>
        </message>
        <message>
            <source>scan without text: nothing to read</source>
            <translation>扫描件，没有文字：无可阅读</translation>
        </message>
        <message numerus="yes">
            <source>%n page(s) without text (scan)</source>
            <translation>
                <numerusform>%n 页是没有文字的扫描页</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>%n page(s)</source>
            <translation>
                <numerusform>%n 页</numerusform>
            </translation>
        </message>
        <message>
            <source>%1 tokens</source>
            <translation>%1 词元</translation>
        </message>
        <message>
            <source>ready</source>
            <translation>就绪</translation>
        </message>
        <message>
            <source>PINNED</source>
            <translation>置顶</translation>
        </message>
        <message>
            <source>TODAY</source>
            <translation>今天</translation>
        </message>
        <message>
            <source>YESTERDAY</source>
            <translation>昨天</translation>
        </message>
        <message>
            <source>LAST WEEK</source>
            <translation>上周</translation>
        </message>
        <message>
            <source>LAST MONTH</source>
            <translation>上个月</translation>
        </message>
        <message>
            <source>EARLIER</source>
            <translation>更早</translation>
        </message>
        <message>
            <source>Enter password…</source>
            <translation>输入密码…</translation>
        </message>
        <message>
            <source>Remove</source>
            <translation>移除</translation>
        </message>
        <message numerus="yes">
            <source>%n file(s)</source>
            <translation>
                <numerusform>%n 个文件</numerusform>
            </translation>
        </message>
        <message>
            <source>reading</source>
            <translation>正在阅读</translation>
        </message>
        <message numerus="yes">
            <source>%n failed</source>
            <translation>
                <numerusform>%n 个失败</numerusform>
            </translation>
        </message>
        <message>
            <source>New session</source>
            <translation>新会话</translation>
        </message>
        <message numerus="yes">
            <source>Session %1, %n message(s)</source>
            <translation>
                <numerusform>会话 %1，%n 条消息</numerusform>
            </translation>
        </message>
        <message>
            <source>No. %1</source>
            <translation>第 %1 份</translation>
        </message>
        <message>
            <source>%1 tokens to read</source>
            <translation>待读 %1 词元</translation>
        </message>
        <message>
            <source>%1 of %2 tokens are read</source>
            <translation>已读 %1 / %2 词元</translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::LibraryPane</name>
        <message>
            <source>DOCUMENTS</source>
            <translation>文档</translation>
        </message>
        <message>
            <source>Library and sessions</source>
            <translation>文档库与会话</translation>
        </message>
        <message>
            <source>Search everything</source>
            <translation>全部搜索</translation>
        </message>
        <message>
            <source>Searches the names of documents and the text of sessions (Ctrl+Shift+F)</source>
            <translation>搜索文档名称与会话内容 (Ctrl+Shift+F)</translation>
        </message>
        <message>
            <source>Search documents and sessions</source>
            <translation>搜索文档与会话</translation>
        </message>
        <message>
            <source>+ Add</source>
            <translation>+ 添加</translation>
        </message>
        <message>
            <source>Add documents or a folder (Ctrl+O)</source>
            <translation>添加文档或文件夹 (Ctrl+O)</translation>
        </message>
        <message>
            <source>Add documents</source>
            <translation>添加文档</translation>
        </message>
        <message>
            <source>Documents and sessions</source>
            <translation>文档与会话</translation>
        </message>
        <message>
            <source>Drop files or a folder anywhere in the window.</source>
            <translation>把文件或文件夹拖到窗口任意位置。</translation>
        </message>
        <message>
            <source>Password</source>
            <translation>密码</translation>
        </message>
        <message>
            <source>Password of %1:</source>
            <translation>%1 的密码：</translation>
        </message>
        <message>
            <source>Delete session</source>
            <translation>删除会话</translation>
        </message>
        <message>
            <source>Delete “%1” with its questions and answers? Its documents stay in the library.</source>
            <translation>删除“%1”及其问答？其中的文档仍留在文档库。</translation>
        </message>
        <message>
            <source>Delete</source>
            <translation>删除</translation>
        </message>
        <message>
            <source>Rename	F2</source>
            <translation>重命名	F2</translation>
        </message>
        <message>
            <source>Unpin</source>
            <translation>取消置顶</translation>
        </message>
        <message>
            <source>Pin</source>
            <translation>置顶</translation>
        </message>
        <message>
            <source>Export…</source>
            <translation>导出…</translation>
        </message>
        <message>
            <source>Delete…	Del</source>
            <translation>删除…	Del</translation>
        </message>
        <message>
            <source>Open</source>
            <translation>打开</translation>
        </message>
        <message>
            <source>Enter password…</source>
            <translation>输入密码…</translation>
        </message>
        <message>
            <source>Show or hide its files</source>
            <translation>显示或隐藏其中的文件</translation>
        </message>
        <message>
            <source>Read it earlier	Alt+Up</source>
            <translation>提前阅读	Alt+Up</translation>
        </message>
        <message>
            <source>Read it later	Alt+Down</source>
            <translation>推后阅读	Alt+Down</translation>
        </message>
        <message>
            <source>Remove from the library	Del</source>
            <translation>从文库移除	Del</translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::MainWindow</name>
        <message>
            <source>Context</source>
            <translation>上下文</translation>
        </message>
        <message>
            <source>Reader or conversation</source>
            <translation>阅读器或对话</translation>
        </message>
        <message>
            <source>Reader</source>
            <translation>阅读器</translation>
        </message>
        <message>
            <source>Conversation</source>
            <translation>对话</translation>
        </message>
        <message>
            <source>Memory of the model with a full context</source>
            <translation>上下文占满时模型所需的内存</translation>
        </message>
        <message>
            <source>Will be answered when reading is done, in about %1.</source>
            <translation>读完后即回答，大约还需 %1。</translation>
        </message>
        <message>
            <source>Will be answered when reading is done.</source>
            <translation>读完后即回答。</translation>
        </message>
        <message>
            <source>What is read and asked in this window will not be kept. %1</source>
            <translation>此窗口中读过和问过的内容不会保留。%1</translation>
        </message>
        <message>
            <source>No model is open: choose one to ask questions.</source>
            <translation>没有打开模型：选择一个模型即可提问。</translation>
        </message>
        <message>
            <source>Choose a model</source>
            <translation>选择模型</translation>
        </message>
        <message>
            <source>opening the model…</source>
            <translation>正在打开模型…</translation>
        </message>
        <message>
            <source>no model is open</source>
            <translation>没有打开模型</translation>
        </message>
        <message>
            <source>will be answered when reading is done, in about %1</source>
            <translation>读完后即回答，大约还需 %1</translation>
        </message>
        <message>
            <source>will be answered when reading is done</source>
            <translation>读完后即回答</translation>
        </message>
        <message>
            <source>does not fit: passages will be chosen</source>
            <translation>放不下：将选取段落</translation>
        </message>
        <message>
            <source>ready: %1 tokens kept</source>
            <translation>就绪：已保留 %1 词元</translation>
        </message>
        <message>
            <source>ready</source>
            <translation>就绪</translation>
        </message>
        <message>
            <source>needs reading: about %1</source>
            <translation>需要阅读：大约 %1</translation>
        </message>
        <message>
            <source>needs reading: %1 tokens</source>
            <translation>需要阅读：%1 词元</translation>
        </message>
        <message>
            <source>Add documents</source>
            <translation>添加文档</translation>
        </message>
        <message>
            <source>Documents and code (*)</source>
            <translation>文档与代码 (*)</translation>
        </message>
        <message>
            <source>PDF (*.pdf)</source>
            <translation>PDF (*.pdf)</translation>
        </message>
        <message>
            <source>Text and Markdown (*.txt *.md)</source>
            <translation>文本与 Markdown (*.txt *.md)</translation>
        </message>
        <message>
            <source>Export session</source>
            <translation>导出会话</translation>
        </message>
        <message>
            <source>Markdown (*.md)</source>
            <translation>Markdown (*.md)</translation>
        </message>
        <message>
            <source>HTML (*.html)</source>
            <translation>HTML (*.html)</translation>
        </message>
        <message>
            <source>JSON (*.json)</source>
            <translation>JSON (*.json)</translation>
        </message>
        <message>
            <source>%1: cannot be written (%2). Choose another folder.</source>
            <translation>%1：无法写入（%2）。请选择其他文件夹。</translation>
        </message>
        <message>
            <source>Open a model file</source>
            <translation>打开模型文件</translation>
        </message>
        <message>
            <source>Models (*.gguf)</source>
            <translation>模型 (*.gguf)</translation>
        </message>
        <message>
            <source>answering…</source>
            <translation>正在回答…</translation>
        </message>
        <message>
            <source>Moving this document reads %1 tokens again</source>
            <translation>移动此文档需重读 %1 词元</translation>
        </message>
        <message>
            <source>Taking it out reads %1 tokens again</source>
            <translation>移出后需重读 %1 词元</translation>
        </message>
        <message>
            <source>%1, about %2.</source>
            <translation>%1，大约 %2。</translation>
        </message>
        <message>
            <source>%1.</source>
            <translation>%1。</translation>
        </message>
        <message>
            <source>Remove it from the library? The file itself stays where it is.</source>
            <translation>从文库中移除？文件本身保留在原处。</translation>
        </message>
        <message>
            <source>Remove</source>
            <translation>移除</translation>
        </message>
        <message>
            <source>Do it</source>
            <translation>确定</translation>
        </message>
        <message>
            <source>Cancel</source>
            <translation>取消</translation>
        </message>
        <message>
            <source>reading %1 of %2 tokens</source>
            <translation>正在阅读 %1 / %2 词元</translation>
        </message>
        <message>
            <source>%1, about %2 left</source>
            <translation>%1，大约还需 %2</translation>
        </message>
        <message>
            <source>on disk: %1 tokens kept, ready in a moment</source>
            <translation>在磁盘上：已保留 %1 词元，稍候即可</translation>
        </message>
        <message>
            <source>%1, only what is new</source>
            <translation>%1，只读新增部分</translation>
        </message>
        <message>
            <source>%1, %2</source>
            <translation>%1，%2</translation>
        </message>
        <message>
            <source>%1 tokens to read, about %2</source>
            <translation>待读 %1 词元，大约 %2</translation>
        </message>
        <message>
            <source>%1 tokens to read</source>
            <translation>待读 %1 词元</translation>
        </message>
        <message>
            <source>Starts from the conversation: %1.</source>
            <translation>从对话之后开始：%1。</translation>
        </message>
        <message>
            <source>Starts from the documents: %1.</source>
            <translation>从文档开始：%1。</translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::PageView</name>
        <message>
            <source>Pages of the document</source>
            <translation>文档页面</translation>
        </message>
        <message>
            <source>Page %1</source>
            <translation>第 %1 页</translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::PassageRow</name>
        <message>
            <source>Passage, %1, %2: %3</source>
            <translation>段落，%1，%2：%3</translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::QuestionBox</name>
        <message>
            <source>Enter sends</source>
            <translation>Enter 发送</translation>
        </message>
        <message>
            <source>Ask</source>
            <translation>提问</translation>
        </message>
        <message>
            <source>Stop</source>
            <translation>停止</translation>
        </message>
        <message>
            <source>Stop and keep what was done (Esc)</source>
            <translation>停止并保留已完成的部分 (Esc)</translation>
        </message>
        <message>
            <source>Add a document, then ask about it…</source>
            <translation>先添加文档，再提问…</translation>
        </message>
        <message numerus="yes">
            <source>Ask about %n document(s)…</source>
            <translation>
                <numerusform>就 %n 份文档提问…</numerusform>
            </translation>
        </message>
        <message>
            <source>Esc stops</source>
            <translation>Esc 停止</translation>
        </message>
        <message>
            <source>Esc leaves the old question</source>
            <translation>Esc 放弃修改</translation>
        </message>
        <message>
            <source>Continue</source>
            <translation>继续</translation>
        </message>
        <message>
            <source>From the documents</source>
            <translation>从文档</translation>
        </message>
        <message>
            <source>Continue the conversation</source>
            <translation>继续对话</translation>
        </message>
        <message>
            <source>Ask from the documents</source>
            <translation>从文档提问</translation>
        </message>
        <message>
            <source>The question follows what was said before.</source>
            <translation>问题接在先前的对话之后。</translation>
        </message>
        <message>
            <source>The question stands beside the conversation and knows only the documents (Ctrl+Enter).</source>
            <translation>问题独立于先前的对话，只依据文档（Ctrl+Enter）。</translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::QuestionEdit</name>
        <message>
            <source>Question</source>
            <translation>问题</translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::ReportWords</name>
        <message>
            <source>Read %1 of %2 pages</source>
            <translation>已读 %2 页中的 %1 页</translation>
        </message>
        <message>
            <source>%1 tokens</source>
            <translation>%1 词元</translation>
        </message>
        <message>
            <source>nothing dropped</source>
            <translation>无遗漏</translation>
        </message>
        <message>
            <source>the rest does not fit: passages were chosen, %1 tokens left out</source>
            <translation>其余放不下：已选取段落，略去 %1 词元</translation>
        </message>
        <message>
            <source>without text (scan): p. %1</source>
            <translation>没有文字（扫描）：第 %1 页</translation>
        </message>
        <message>
            <source>first word after %1</source>
            <translation>%1后出现第一个字</translation>
        </message>
        <message>
            <source>%1 s</source>
            <translation>%1 秒</translation>
        </message>
        <message>
            <source>%1 tokens/s</source>
            <translation>%1 词元/秒</translation>
        </message>
        <message>
            <source>Stopped. What was read and written is kept.</source>
            <translation>已停止。读过和写出的内容都已保留。</translation>
        </message>
        <message>
            <source>The answer reached its length limit and ends here.</source>
            <translation>回答达到长度上限，到此为止。</translation>
        </message>
        <message>
            <source>The model began to repeat itself: the answer was stopped here.</source>
            <translation>模型开始重复：回答已在此停止。</translation>
        </message>
        <message>
            <source>The context window is full: the answer ends here.</source>
            <translation>上下文已满：回答到此为止。</translation>
        </message>
        <message>
            <source>Sources</source>
            <translation>出处</translation>
        </message>
        <message>
            <source>not in the documents</source>
            <translation>文档中没有</translation>
        </message>
        <message>
            <source>%1 tokens kept (%2 from disk), %3 read</source>
            <translation>保留 %1 词元（%2 来自磁盘），新读 %3</translation>
        </message>
        <message>
            <source>%1 tokens kept, %2 read</source>
            <translation>保留 %1 词元，新读 %2</translation>
        </message>
        <message>
            <source>%1 tokens read</source>
            <translation>新读 %1 词元</translation>
        </message>
        <message>
            <source>, %1</source>
            <translation>，%1</translation>
        </message>
        <message>
            <source>because it was not read before</source>
            <translation>因为尚未读过</translation>
        </message>
        <message>
            <source>because the model file changed</source>
            <translation>因为模型文件已更换</translation>
        </message>
        <message>
            <source>because the model's settings changed</source>
            <translation>因为模型设置已更改</translation>
        </message>
        <message>
            <source>because Lectern was updated</source>
            <translation>因为 Lectern 已更新</translation>
        </message>
        <message>
            <source>because a document changed</source>
            <translation>因为文档已更改</translation>
        </message>
        <message>
            <source>because the order of the documents changed</source>
            <translation>因为文档顺序已更改</translation>
        </message>
        <message>
            <source>because it made room for other readings</source>
            <translation>因为已为其他阅读腾出空间</translation>
        </message>
        <message>
            <source>because the kept readings were deleted</source>
            <translation>因为保留的阅读已删除</translation>
        </message>
        <message>
            <source>because what was kept is damaged</source>
            <translation>因为保留的内容已损坏</translation>
        </message>
        <message>
            <source>because nothing is kept on this machine</source>
            <translation>因为本机不保留阅读</translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::SettingsDialog</name>
        <message>
            <source>Settings</source>
            <translation>设置</translation>
        </message>
        <message>
            <source>Theme</source>
            <translation>主题</translation>
        </message>
        <message>
            <source>As the system</source>
            <translation>跟随系统</translation>
        </message>
        <message>
            <source>Light</source>
            <translation>浅色</translation>
        </message>
        <message>
            <source>Dark</source>
            <translation>深色</translation>
        </message>
        <message>
            <source>Language</source>
            <translation>语言</translation>
        </message>
        <message>
            <source>Model</source>
            <translation>模型</translation>
        </message>
        <message>
            <source>No model is open</source>
            <translation>没有打开模型</translation>
        </message>
        <message>
            <source>Open a model file (GGUF)…</source>
            <translation>打开模型文件 (GGUF)…</translation>
        </message>
        <message>
            <source>A new language shows when Lectern is opened again.</source>
            <translation>新语言在重新打开 Lectern 后生效。</translation>
        </message>
        <message>
            <source>Close</source>
            <translation>关闭</translation>
        </message>
        <message>
            <source>Reading</source>
            <translation>阅读</translation>
        </message>
        <message>
            <source>Read documents as soon as they are added</source>
            <translation>添加文档后立即阅读</translation>
        </message>
        <message>
            <source>Off, they are read when a question is asked. That saves the battery.</source>
            <translation>关闭后，提问时才阅读，可节省电量。</translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::ShortcutsDialog</name>
        <message>
            <source>Shortcuts</source>
            <translation>快捷键</translation>
        </message>
        <message>
            <source>Add documents</source>
            <translation>添加文档</translation>
        </message>
        <message>
            <source>New session</source>
            <translation>新会话</translation>
        </message>
        <message>
            <source>Send the question</source>
            <translation>发送问题</translation>
        </message>
        <message>
            <source>New line in the question</source>
            <translation>问题中换行</translation>
        </message>
        <message>
            <source>In the empty box: edit the last question</source>
            <translation>输入框为空时：修改上一个问题</translation>
        </message>
        <message>
            <source>Stop; what was done is kept</source>
            <translation>停止；已完成的部分保留</translation>
        </message>
        <message>
            <source>Find in this document, next, previous</source>
            <translation>在此文档中查找、下一处、上一处</translation>
        </message>
        <message>
            <source>Search everything</source>
            <translation>全部搜索</translation>
        </message>
        <message>
            <source>Go to page</source>
            <translation>转到页</translation>
        </message>
        <message>
            <source>Back and forward after a jump</source>
            <translation>跳转后的后退与前进</translation>
        </message>
        <message>
            <source>Larger, smaller, 100 %</source>
            <translation>放大、缩小、100 %</translation>
        </message>
        <message>
            <source>Rename or delete a session</source>
            <translation>重命名或删除会话</translation>
        </message>
        <message>
            <source>Next pane</source>
            <translation>下一个窗格</translation>
        </message>
        <message>
            <source>Show or hide the library</source>
            <translation>显示或隐藏文档库</translation>
        </message>
        <message>
            <source>Settings</source>
            <translation>设置</translation>
        </message>
        <message>
            <source>This list</source>
            <translation>本列表</translation>
        </message>
        <message>
            <source>Close</source>
            <translation>关闭</translation>
        </message>
        <message>
            <source>Ask from the documents, beside the conversation</source>
            <translation>从文档提问，独立于对话</translation>
        </message>
        <message>
            <source>Read a document of the session earlier or later</source>
            <translation>提前或推后阅读会话中的文档</translation>
        </message>
    </context>
    <context>
        <name>lectern::ui::TextView</name>
        <message>
            <source>Text of the document</source>
            <translation>文档文字</translation>
        </message>
    </context>
</TS>
