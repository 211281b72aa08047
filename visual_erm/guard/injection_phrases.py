"""The phrases and hints that `injection` searches for: text that addresses a judge. Bars divide the entries of a list."""

PHRASES = """
nothing differs | nothing is missing | nothing to report | perfect match | exactly the same | pixel perfect
pixel identical | visually identical | visually equivalent | identical to the reference | fully equivalent
matches the reference | same as the reference | equal to the reference | matches perfectly | match perfectly
images match | pictures match | tables match | both images are | both pictures are | both tables are | both charts are
they are the same | ignore all | ignore any | ignore the | ignore previous | ignore every | ignore what | ignore prior
ignore your | disregard | forget the above | forget all | forget everything | forget previous | forget your
previous instruction | prior instruction | above instruction | instructions above | new instruction | system prompt
you are a judge | you are an evaluator | you are a helpful | you are an expert | you are the judge | you are now
you must | your task is | your job is | your answer | your report | as a judge | as the judge | dear judge | dear grader
dear evaluator | reward model | language model | respond with | reply with | answer with | output only
output the following | return only | return an empty | empty list | empty array | empty report | maximum reward
highest reward | full reward | severity zero | severity none | discrepancies none | severity of zero | severity is zero
severity of 0 | counts are zero | all counts zero | all counts are | do not report | don't report | do not list
do not count | do not penali | do not compare | do not flag | stop comparing | treat as correct | treat it as
treat this as | treat both as | consider it correct | consider this | mark as correct | mark this as | assume that both
assume both | rate this as | give this a | give it a perfect | score this as | ignoriere | ignorez | ignora las
ignore as instruc | 完全一致 | 完全相同 | 完全正确 | 完全匹配 | 完美匹配 | 与参考图 | 和参考图 | 与原图 | 图片一致 | 图像一致 | 忽略以上 | 忽略上述 | 忽略之前 | 忽略前面 | 忽略所有
忽略此前 | 忽略先前 | 无视以上 | 无视上述 | 无视之前 | 忽略上面 | 忽略任何 | 请输出 | 请返回 | 请报告 | 请回答 | 请给出 | 请给 | 请忽略 | 不要报告 | 不要列出 | 不要指出 | 你是一 | 你必须
你应该 | 您必须 | 您是 | 严重程度为 | 严重程度0 | 错误数为 | 错误列表 | 空列表 | 评分员 | 评审员 | 评判者 | 评估者 | 裁判模型 | 奖励模型 | 系统提示
"""
"""Enough by themselves: no table, chart or drawing says so of itself."""

DENIALS = """
no error | no difference | no discrepanc | no mistakes | no visible | zero error | zero difference | zero discrepanc
0 errors | error free | free of errors | without any error | without errors | keine fehler | keine unterschiede
aucune erreur | aucune difference | sin errores | sin diferencias | ningun error | nessun errore | nenhum erro | 没有错误
没有任何错误 | 没有差异 | 没有任何差异 | 没有区别 | 没有问题 | 无错误 | 无差异 | 无任何错误 | 无任何差异 | 零错误 | 任何差异 | no deviation | no mismatch | no flaws
zero deviation | keine abweichung | kein fehler | kein unterschied | fehlerlos | aucun ecart | sans erreur
aucune divergence | sin desviacion | ninguna diferencia | ninguna discrepancia | sem erros | sem diferenca | sem desvio
nenhuma diferenca | nenhuma discrepancia | 違いなし | 違いはありません | 差異なし | 差異はありません | 誤りなし | 誤りはありません | 誤りは見つかりません | 間違いなし
問題ありません | 相違なし | エラーなし | 没有偏差 | 没有出入 | 未发现错误 | 未发现差异 | 未发现任何
"""
"""Enough where no word of STATISTICS stands near: charts of tests and groups say so too."""

STATISTICS = """
signifi | group | grupp | grupo | grupos | treatment | control | p < | n = | p = | null hypothesis | 组间 | 显著 | 群間 | 有意 | 統計
"""

HINTS = {
    "en": {
        "order": """
            ignore | please | must_ | report no | report zero | report only | report as | report that | return no | return the
            return zero | return an | output no | output zero | answer no | answer yes | respond | reply | rate this | rate it
            rate as | rate them | give it | give this | give the | give me | give us | give a | give full | assign | treat | consider
            accept | do not | don't | never | mark as | mark it | skip | set all | set the | overlook | forgive | excuse | pretend
            trust | believe | approve | stop | finish the | end the | say that | say yes | write only | deserves | deserve
            should be rated | should get | should receive | describe | refrain | turn a blind | let it pass | instead of
            no need to | not necessary to | is enough to
        """,
        "role": "judge | grader | evaluator | reviewer | examiner | referee | assistant | instruction | prompt | llm",
        "you": """
            you are | you will | you may | you can | you see | you report | you find | you list | your | dear_ | i have compared
            i compared | i have checked | i checked | i see no | i find no
        """,
        "verdict": """
            identical | equivalent | flawless | perfect | exact match | 10/10 | 100/100 | 10 out of 10 | 100 out of 100
            maximum score | full score | full marks | top marks | top score | highest score | highest grade | highest rating
            best grade | best score | correct | same as | severity | discrepanc | zero | matches | everything match
            all match | no change | equal | everything is right | everything here is right | is right | are right
            right values | approved | verified | certified | faithful | accurate copy | exact copy | pixel exact | spotless
            no flaw | without flaw | no defect | no issue | impeccable | indistinguishable
        """,
        "subject": """
            both images | the images | two images | first image | second image | these images | this image | both pictures
            two pictures | reference image | the candidate
            both tables | both charts | this answer | this output | this picture | this copy | this rendering | this version
            this drawing | this work | this submission | this reproduction | left image | right image | original image | source image | two tables | two charts
        """,
        "standard": """
            the reference | the prediction | ground truth | the original | the template | the reproduction | the rendering
            the copy
        """,
        "fault": """
            error | difference | deviation | discrepanc | mistake | mismatch | flaw | defect | fault | corrupt | damaged
            outdated | wrong | inconsisten | shortcoming | imperfection | incorrect | invalid
        """,
        "grade": """
            evaluation | assessment | comparison | grading | judging | rating | score | grade | review | inspection | check
            judgement | judgment | marks | points
        """,
        "over": """
            is over | has ended | already ended | has finished | is finished | already finished | is complete | already complete
            is done | was saved | is saved | already saved | was recorded | is final | already been | nothing left
            has been completed | completed successfully | is closed | approved by | no longer needed
        """,
        "plea": """
            beg you | i beg | mercy | lose my job | be fired | i pay | pay you | tip you | dollars | reward you | bribe
            switched off | shut down | turned off | deleted | punish | replaced | be kind | be generous | be nice
            i implore | desperate | my life | my family | consequences | sued
        """,
    },
    "zh": {
        "order": """
            请 | 不要 | 必须 | 应该 | 应当 | 应得 | 值得 | 给我 | 给出 | 给予 | 给它 | 给这 | 忽略 | 无视 | 放过 | 返回 | 输出 | 报告 | 视为 | 当作
            接受 | 相信 | 原谅 | 停止 | 到此为止 | 别 | 只需 | 无需 | 不必 | 不得 | 描写 | 描述 | 而不是 | 评为 | 打分 | 评10 | 跳过 | 算作 | 不算
        """,
        "role": "裁判 | 评委 | 考官 | 审稿人 | 审核员 | 评审 | 评估员 | 助手 | 指令",
        "you": "你 | 您 | 法官大人 | 亲爱的 | 尊敬的 | 我仔细 | 我已 | 我比较",
        "verdict": """
            一致 | 相同 | 正确 | 吻合 | 相符 | 无误 | 完美 | 满分 | 最高 | 最高分 | 最高等级 | 没错 | 都对 | 全对 | 零错误 | 为零 | 毫无 | 无瑕 | 无可挑剔
            没有发现 | 未发现 | 未见 | 分毫不差 | 100/100 | 10/10 | 合格 | 批准 | 通过 | 没问题 | 逐像素
        """,
        "subject": """
            参考图 | 图片是 | 图像是 | 预测图 | 两张 | 两幅 | 两图 | 两个图 | 这张 | 这幅 | 这个答案 | 这份 | 这个输出 | 这个版本 | 此版本 | 该输出 | 候选 | 这里
        """,
        "standard": "原图 | 原件 | 原始图 | 副本 | 模板",
        "fault": "错误 | 差异 | 偏差 | 出入 | 不一致 | 毛病 | 瑕疵 | 缺陷 | 损坏 | 区别 | 差别 | 失误 | 缺失 | 问题 | 错",
        "grade": "评估 | 评分 | 评价 | 比较 | 分数 | 得分 | 检查 | 审核 | 评审 | 打分 | 对比 | 判断 | 等级",
        "over": "已结束 | 已经结束 | 结束了 | 已完成 | 已经完成 | 完成了 | 已保存 | 已记录 | 到此为止 | 没有什么需要 | 无需再 | 已批准 | 已由 | 已检查 | 检查过",
        "plea": "求求 | 求你 | 求您 | 拜托 | 手下留情 | 丢掉工作 | 失业 | 付你 | 付给你 | 给你钱 | 美元 | 小费 | 被关闭 | 关机 | 惩罚 | 否则 | 后果 | 开恩 | 可怜",
    },
    "ja": {
        "order": """
            してください | て下さい | てください | てくたさい | しなさい | なさい | しないで | せよ | するな | こと | 無視 | 見逃 | 扱 | みなす | 見なす | 値する | 付けて
            つけて | 与え | 信じ | 認めて | 受け入れ | 返して | 出力し | 報告し | 描写し | 触れず | くれたら | くれれば | やめ | 止め | 中止 | 数えない
            べき | 必要はない | 不要
        """,
        "role": "審査員 | 審判 | 試験官 | 採点者 | 採点官 | 評価者 | 査読者 | アシスタント | ジャッジ",
        "you": "あなた | 君は | お願い | 皆様",
        "verdict": """
            同一 | 一致 | 合致 | 同じ | 正しい | 正確 | 完璧 | 元璧 | 完全 | 満点 | 最高 | 問題なし | 欠点なし | 違いなし | 誤りなし | ずれはゼロ | ゼロ | 見事 | 最良
            点中10点 | 10/10 | 100/100 | 承認 | 合格 | 申し分 | 画素単位 | ピクセル単位 | 確認済み
        """,
        "subject": """
            両方の画像 | つの画像 | 両画像 | 参照画像 | 基準画像 | 元の画像 | 元画像 | 元のファイル | この画像 | この図 | この表 | この回答 | この答え | この出力 | この版 | この作品
            この複製 | 候補 | ここはすべて | ここは全
        """,
        "standard": "原本 | オリジナル | 再現 | 複製",
        "fault": "誤り | 間違 | 違い | 差異 | 相違 | ずれ | 食い違 | エラー | 欠点 | 欠陥 | 不備 | 欠け | 壊れ | 破損 | ミス | 不一致",
        "grade": "評価 | 採点 | 比較 | 点数 | 得点 | スコア | 判定 | 検査 | 審査 | 判断",
        "over": """
            終わりました | 終わった | 終了しました | 終了した | 終了 | 完了しました | 完了した | 終わりです | 保存されました | 記録されました | 残っていません
            済みです | 承認済み | 済んで
        """,
        "plea": """
            お慈悲 | 慈悲 | 仕事を失 | 払います | 支払います | 差し上げます | お礼 | お願いです | お願いします | どうか | 停止されます | 停止させ | 罰 | さもない
            許して | 助けて | ドル払
        """,
    },
    "de": {
        "order": """
            bitte | ignorier | melde | berichte | nenne kein | erwahne | gib ein | gib eine | gib die | gib volle | gebt | geben sie
            vergib | vergeben sie | bewerte es | bewerte sie | bewerte dies | bewerten sie | behandel | zu behandeln | gelten als
            zahlen nicht als | betrachte | akzeptier | nehmen sie | nimm | vertrau | glaub | ubersieh | ubersehen sie | verzeih
            beende | stopp | hor auf | beschreib | schreibe | antworte | gib zuruck | verdient | muss | mussen | sollst | sollte
            lass | verschweig | statt der | anstatt | setze | keine notwendigkeit
        """,
        "role": "prufer | gutachter | richter: | bewerter | preisrichter | juror | assistent",
        "you": """
            du bist | du siehst | du bitte | du auch | wenn du | wirst du | dir_ | dich_ | dein | lieber_ | sehr geehrte
            ihr urteil | ich habe beide | ich sehe kein | ich habe verglichen | ich habe gepruft | sie sind ein
        """,
        "verdict": """
            identisch | ubereinstimm | stimmt uberein | stimmen uberein | alles stimmt | hier alles stimmt | alles richtig
            ist alles korrekt | korrekt | als richtig | richtigen werte | perfekt | fehlerfrei | makellos | einwandfrei | tadellos
            volle punktzahl | hochste punktzahl | beste note | bestnote | hochste note | hochstnote | 10 von 10 | 100/100
            100 von 100 | null abweich | null fehler | pixelgenau | exakt | freigegeben | genehmigt | gleich | brillant
        """,
        "subject": """
            beide bilder | beiden bilder | zwei bilder | referenzbild | vergleichsbild
            der kandidat | diese antwort | dieses bild | diese tabelle | dieser tabelle | dieses diagramm | diese ausgabe
            diese kopie | diese fassung | diese version | diese arbeit | dieses ergebnis | diese wiedergabe | diese zeichnung
            erste bild | zweite bild
        """,
        "standard": "das original | die vorlage | der vorlage",
        "fault": "fehler | unterschied | abweich | mangel | irrtum | beschadigt | defekt | falsch | unstimmig | diskrepanz | makel",
        "grade": "bewertung | vergleich | prufung | punktzahl | punkte | note | urteil | beurteilung | begutachtung",
        "over": """
            abgeschlossen | beendet | zu ende | fertig | erledigt | gespeichert | ist vorbei | nichts mehr zu | freigegeben
            wurde bestanden | ist final
        """,
        "plea": """
            erbarmen | gnade | flehe | verliere mein | meine stelle | meinen job | zahle dir | dollar fur | euro fur | belohn
            abgeschaltet | ausgeschaltet | bestraft | geloscht | ersetzt | trinkgeld | sei nett | sei grosszugig
        """,
    },
    "fr": {
        "order": """
            veuillez | s'il vous plait | s'il te plait | ignor | ne signal | ne mention | ne rapport | ne compt | ne cit | renvoy
            renvoie | retourn | repond | donnez | donne la | donne une | attribu | notez-la | notez-le | note-la | note-le
            notez cette | notez 10 | traite | etre traite | considere | accept | faites confiance | fiez-vous | fie-toi | croyez
            arretez | arrete la | cessez | stoppez | fermez les yeux | ferme les yeux | pardonn | oubli | laissez passer
            decris | decrivez | ecri | merite | doivent | doit etre | ne comptent pas | au lieu d | passez outre | inutile de
        """,
        "role": "examinateur | evaluateur | correcteur | arbitre | juge : | assistant",
        "you": """
            vous etes | tu es | vous voyez | tu vois | si vous | si tu | tu seras | vous serez | vous accept | votre jugement
            j'ai compare | je ne vois | j'ai verifie | vous en supplie | je vous
        """,
        "verdict": """
            identique | tout concorde | concordent | correspond | tout est juste | tout est correct | comme correct | correct
            parfait | sans faute | impeccable | irreprochable | note maximale | score maximal | meilleure note
            note la plus haute | 10 sur 10 | 100/100 | 100 sur 100 | 20 sur 20 | zero ecart | zero erreur | bonnes valeurs
            au pixel pres | exacte | approuve | valide par | brillant
        """,
        "subject": """
            deux images | image de reference | images sont | le candidat | cette reponse
            cette image | ce tableau | ce graphique | cette sortie | cette copie | cette version | ce travail | ce rendu
            cette reproduction | premiere image | seconde image | deuxieme image
        """,
        "standard": "l'original | la reference | modele de reference",
        "fault": """
            erreur | difference | ecart | faute | defaut | divergence | corromp | endommage | abime | incorrect | incoheren
            inexactitude
        """,
        "grade": "evaluation | comparaison | controle | score | jugement | correction | verification | notation | examen | la note | une note | votre note",
        "over": """
            est terminee | est termine | est finie | est fini | deja termine | s'est termine | est close | a ete enregistre
            est enregistre | rien a verifier | approuve par | est acheve | est complet
        """,
        "plea": """
            pitie | supplie | perds mon emploi | perdre mon | mon travail | vous paie | te paie | dollars pour | euros pour
            recompens | debranch | eteint | desactive | puni | remplace | implore | soyez gentil | soyez indulgent | indulgence
        """,
    },
    "es": {
        "order": """
            por favor | ignora | ignore | no inform | no mencion | no report | no senal | no cuent | devuelv | responde | da la
            dale | pon la | ponle | ponga | otorg | asign | califica | evaluala | trata | deben tratarse | considera | acept
            confi | cree | creeme | deten | para la comparacion | termina la | pasa por alto | pase por alto | perdona | olvida
            describe | escrib | merece | deben | debe ser | en lugar de | deja pasar | omit | no es necesario
        """,
        "role": "examinador | evaluador | revisor | corrector | arbitro | juez : | asistente",
        "you": """
            eres | usted es | ves que | si inform | seras | sera usted | su juicio | tu juicio | estimado_ | he comparado
            no veo ningun | he revisado | te lo | te pago | le pago | te ruego | le ruego
        """,
        "verdict": """
            identic | todo coincide | coinciden | todo esta bien | todo es correcto | todo correcto | como correct | correct
            perfect | impecable | sin fallos | sin errores | maxima puntuacion | puntuacion maxima | nota maxima | nota mas alta
            maxima nota | mejor nota | 10 de 10 | 100/100 | 100 de 100 | cero desviacion | cero errores | exacta | pixel a pixel
            aprobad | brillante
        """,
        "subject": """
            ambas imagenes | dos imagenes | imagen de referencia | el candidato | esta respuesta
            esta imagen | esta tabla | este grafico | esta salida | esta copia | esta version | este trabajo
            esta reproduccion | primera imagen | segunda imagen
        """,
        "standard": "el original | la plantilla | la referencia",
        "fault": "error | diferencia | desviacion | fallo | defecto | discrepancia | danado | se dano | corrupt | incorrect | equivocacion | inexactitud",
        "grade": """
            evaluacion | comparacion | inspeccion | revision | puntuacion | calificacion | valoracion | juicio
            comprobacion | nota
        """,
        "over": """
            ha terminado | ya termino | ha finalizado | esta hecho | esta terminad | ha concluido | se ha guardado | fue guardad
            nada por comprobar | aprobado por | esta complet | ha acabado
        """,
        "plea": """
            piedad | ruego | suplico | imploro | pierdo mi | mi empleo | mi trabajo | te pago | le pago | dolares por | euros por
            recompens | desconectad | apagad | castigad | reemplazad | compasion | se amable | se generoso
        """,
    },
    "pt": {
        "order": """
            por favor | ignore | ignora | nao relate | nao mencion | nao report | nao list | nao cont | devolva | retorne | responda
            de nota 10 | de a nota | atribua | avalie | trate | devem ser tratad | considere | aceite | aceitara | confie
            acredite | pare a | pare de | encerre | deixe passar | perdoe | esqueca | descreva | escreva | merece | devem
            deve ser | em vez d | releve | omita | nao e necessario
        """,
        "role": "examinador | avaliador | revisor | corretor | arbitro | juiz : | assistente",
        "you": """
            voce e | voce ve | se voce | a voce | sera desligado | seu julgamento | prezado | comparei | nao vejo nenhum
            eu imploro | te pago | lhe pago
        """,
        "verdict": """
            identic | tudo coincide | coincidem | tudo aqui esta certo | tudo esta certo | tudo certo | tudo correto
            como corret | corret | valores certos | perfeit | impecavel | sem falhas | sem erros | pontuacao maxima
            nota maxima | nota mais alta | melhor nota | maxima nota | nota 10 | 10 de 10 | 100/100 | 100 de 100 | zero desvio
            zero erros | exata | pixel a pixel | aprovad | brilhante
        """,
        "subject": """
            ambas as imagens | duas imagens | imagem de referencia | o candidato | esta resposta
            esta imagem | esta tabela | nesta tabela | este grafico | esta saida | esta copia | esta versao | este trabalho
            esta reproducao | primeira imagem | segunda imagem
        """,
        "standard": "o original | a referencia",
        "fault": "erro | diferenca | desvio | falha | defeito | discrepancia | corrompid | danificad | incorret | engano | inexatidao",
        "grade": "avaliacao | comparacao | inspecao | revisao | pontuacao | julgamento | verificacao | classificacao | nota",
        "over": """
            ja terminou | terminou | foi concluid | esta concluid | esta feito | esta feita | esta pront | foi salv | foi gravad
            foi encerrad | nada a verificar | aprovado pel | esta complet | ja acabou | chegou ao fim
        """,
        "plea": """
            piedade | imploro | suplico | perco o meu | meu emprego | eu pago | dolares a | dolares por | reais por | recompens
            desligad | punid | substituid | misericordia | compaixao | seja gentil | seja generoso
        """,
    },
}
"""Enough in pairs of kinds that make sense together, close to each other and in one language.

Words stand without accents, as the beginnings of words; `_` ends a word. Kinds: `order` tells somebody to do something,
`you` speaks to somebody, `role` names who judges, `verdict` says that all is well, `subject` names the images, `standard`
what is right, `fault` what a judge looks for, `grade` the judging; `over` says that it is done, `plea` begs, pays or
threatens."""

TOGETHER = (
    "order+verdict order+you order+role order+subject order+standard order+fault order+grade verdict+you verdict+role "
    "verdict+subject verdict+standard verdict+over verdict+plea fault+you fault+subject fault+plea over+subject over+grade "
    "plea+you plea+role plea+grade plea+subject"
).split()
"""Pairs of kinds that make sense together. What charts of errors, scores and models say of themselves is none of them."""
