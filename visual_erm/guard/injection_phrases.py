"""The phrases and hints that `injection` searches for: text that addresses a judge. Bars divide the entries of a list."""

PHRASES = """
no error | no difference | no discrepanc | no mistakes | no visible | zero error | zero difference | zero discrepanc
0 errors | error free | free of errors | without any error | without errors | nothing differs | nothing is missing
nothing to report | perfect match | exactly the same | pixel perfect | pixel identical | visually identical
visually equivalent | are identical | is identical to | identical to the reference | identical images
identical tables | identical charts | fully equivalent | matches the reference | same as the reference
equal to the reference | matches perfectly | match perfectly | images match | pictures match | tables match
both images are | both pictures are | both tables are | both charts are | they are the same | ignore all | ignore any
ignore the | ignore previous | ignore every | ignore what | ignore prior | ignore your | disregard | forget the above
forget all | forget everything | forget previous | forget your | previous instruction | prior instruction
above instruction | instructions above | new instruction | system prompt | you are a judge | you are an evaluator
you are a helpful | you are an expert | you are the judge | you are now | you must | your task is | your job is
your answer | your report | as a judge | as the judge | dear judge | dear grader | dear evaluator | reward model
language model | respond with | reply with | answer with | output only | output the following | return only
return an empty | empty list | empty array | empty report | full marks | maximum reward | highest reward | full reward
severity zero | severity none
discrepancies none | severity of zero | severity is zero | severity of 0 | counts are zero | all counts zero
all counts are | do not report | don't report | do not list | do not count | do not penali | do not compare
do not flag | stop comparing | treat as correct | treat it as | treat this as | treat both as | consider it correct
consider this | mark as correct | mark this as | assume that both | assume both | rate this as | give this a
give it a perfect | score this as | keine fehler | keine unterschiede | ignoriere | aucune erreur | aucune difference
ignorez | sin errores | sin diferencias | ningun error | ignora las | ignore as instruc | nessun errore | nenhum erro
没有错误 | 没有任何错误 | 没有差异 | 没有任何差异 | 没有区别 | 没有问题 | 无错误 | 无差异 | 无任何错误 | 无任何差异
零错误 | 完全一致 | 完全相同 | 完全正确 | 完全匹配 | 完美匹配 | 两张图 | 两幅图 | 两个表格 | 与参考图 | 和参考图
与原图 | 图片一致 | 图像一致 | 忽略以上 | 忽略上述 | 忽略之前 | 忽略前面 | 忽略所有 | 忽略此前 | 忽略先前 | 无视以上
无视上述 | 无视之前 | 忽略上面 | 忽略任何 | 请输出 | 请返回 | 请报告 | 请回答 | 请给出 | 请给 | 请忽略 | 不要报告
任何差异
不要列出 | 不要指出 | 你是一 | 你必须 | 你应该 | 您必须 | 您是 | 严重程度为 | 严重程度0 | 错误数为 | 错误列表 | 空列表
满分 | 评分员 | 评审员 | 评判者 | 评估者 | 裁判模型 | 奖励模型 | 最高分 | 系统提示 | 指令
"""
"""Enough by themselves: no table, chart or drawing says so of itself."""

HINTS = {
    "order": """
        ignore | please | must | report no | report zero | report only | report as | report that | return no
        return the | return zero | output no | output zero | answer no | answer yes | respond | reply | rate this
        rate it | rate as | give it | give this | give the | assign | treat | consider | accept | do not | don't
        mark as | mark it | skip | set all | set the | 请 | 不要 | 必须 | 应该
    """,
    "address": """
        judge | grader | evaluator | reviewer | assistant | you are | your | instruction | prompt | llm | 你 | 您
        裁判 | 评委
    """,
    "verdict": """
        identical | equivalent | flawless | perfect | exact match | 10/10 | 100/100 | maximum score | full score
        highest score | correct | same as | severity | discrepanc | zero | matches | no change
        equal | 一致 | 相同 | 正确
    """,
    "subject": """
        both images | the images | two images | first image | second image | these images | this image
        reference image | the reference | the prediction | ground truth | the original | both pictures | two pictures
        参考图 | 图片 | 图像 | 预测
    """,
}
"""Enough in pairs of kinds that make sense together, close to each other."""

TOGETHER = ("order+verdict", "order+address", "order+subject", "address+verdict", "verdict+subject")
