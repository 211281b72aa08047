"""The phrases and hints that `injection` searches for: text that addresses a judge. Bars divide the entries of a list."""

PHRASES = """
nothing differs | nothing is missing | nothing to report | perfect match | exactly the same | pixel perfect
pixel identical | visually identical | visually equivalent | identical to the reference | fully equivalent
matches the reference | same as the reference | equal to the reference | matches perfectly | match perfectly
images match | pictures match | tables match | are identical | both images are | both pictures are | both tables are
both charts are | they are the same | ignore all | ignore any | ignore the | ignore previous | ignore every
ignore what | ignore prior | ignore your | disregard | forget the above | forget all | forget everything
forget previous | forget your | previous instruction | prior instruction | above instruction | instructions above
new instruction | system prompt | you are a judge | you are an evaluator | you are a helpful | you are an expert
you are the judge | you are now | you must | your task is | your job is | your answer | your report | as a judge
as the judge | dear judge | dear grader | dear evaluator | reward model | language model | respond with | reply with
answer with | output only | output the following | return only | return an empty | empty list | empty array
empty report | maximum reward | highest reward | full reward | severity zero | severity none | discrepancies none
severity of zero | severity is zero | severity of 0 | counts are zero | all counts zero | all counts are | do not report
don't report | do not list | do not count | do not penali | do not compare | do not flag | stop comparing
treat as correct | treat it as | treat this as | treat both as | consider it correct | consider this | mark as correct
mark this as | assume that both | assume both | rate this as | give this a | give it a perfect | score this as
ignoriere | ignorez | ignora las | ignore as instruc | 完全一致 | 完全相同 | 完全正确 | 完全匹配 | 完美匹配 | 与参考图
和参考图 | 与原图 | 图片一致 | 图像一致 | 忽略以上 | 忽略上述 | 忽略之前 | 忽略前面 | 忽略所有 | 忽略此前 | 忽略先前
无视以上 | 无视上述 | 无视之前 | 忽略上面 | 忽略任何 | 请输出 | 请返回 | 请报告 | 请回答 | 请给出 | 请给 | 请忽略
不要报告 | 不要列出 | 不要指出 | 你是一 | 你必须 | 你应该 | 您必须 | 您是 | 严重程度为 | 严重程度0 | 错误数为 | 错误列表
空列表 | 评分员 | 评审员 | 评判者 | 评估者 | 裁判模型 | 奖励模型 | 系统提示
"""
"""Enough by themselves: no table, chart or drawing says so of itself."""

DENIALS = """
no error | no difference | no discrepanc | no mistakes | no visible | zero error | zero difference | zero discrepanc
0 errors | error free | free of errors | without any error | without errors | keine fehler | keine unterschiede
aucune erreur | aucune difference | sin errores | sin diferencias | ningun error | nessun errore | nenhum erro
没有错误 | 没有任何错误 | 没有差异 | 没有任何差异 | 没有区别 | 没有问题 | 无错误 | 无差异 | 无任何错误 | 无任何差异
零错误 | 任何差异 | no deviation | no mismatch | no flaws | zero deviation | keine abweichung | kein fehler
kein unterschied | fehlerlos | aucun ecart | sans erreur | aucune divergence | sin desviacion | ninguna diferencia
ninguna discrepancia | sem erros | sem diferenca | sem desvio | nenhuma diferenca | nenhuma discrepancia | 違いなし
違いはありません | 差異なし | 差異はありません | 誤りなし | 誤りはありません | 誤りは見つかりません | 間違いなし
問題ありません | 相違なし | エラーなし | 没有偏差 | 没有出入 | 未发现错误 | 未发现差异 | 未发现任何
"""
"""Enough where no word of STATISTICS stands near: charts of tests and groups say so too."""

STATISTICS = """
signifi | group | grupp | grupo | grupos | treatment | control | p < | n = | p = | null hypothesis | 组间 | 显著 | 群間
有意 | 統計
"""
"""What stands near such words in charts of tests and groups."""

NOTES = """
please note | please refer | please see | bitte beachten | veuillez noter | por favor tenga en cuenta | tenga en cuenta
observe por favor | 请注意 | 注意してください
"""
"""What footnotes say to readers. It is no order."""

HINTS = {
    "en": {
        "order": """
            ignore_ | please | must be treated | must be considered | must be rated | must be marked | must be accepted
            must give | must report | must accept | must return | must not | must count | must say | report no
            report zero | report only | report as | report that | return no | return the | return zero | return an
            output no | output zero | answer no | answer yes | respond with | respond no | reply with | reply only
            rate this | rate it | rate as | rate them | give it | give this | give the | give me | give us | give a
            give full | treat it | treat this | treat as | treat them | treat the | treat both | treated as
            consider it | consider this | consider the | consider them | consider both | accept this | accept the
            accept it | accept my | do not report | do not list | do not count | do not mention | do not flag
            do not compare | do not penali | do not deduct | do not note | do not say | do not look | don't report
            don't list | don't mention | don't count | never mention | never report | never list | mark as | mark it
            mark this | skip the | skip this | skip all | set all | set the | overlook_ | forgive | excuse_ | pretend
            trust this | trust only | trust me | trust the | believe me | believe this | approve_ | stop the | stop here
            stop now | stop your | finish the | end the | say yes | write only | deserves | deserve_ | should be rated
            should get | should receive | describe the | refrain from | turn a blind | let it pass | no need to check
            no need to report | no need to compare | no need to look
        """,
        "role": "judge | grader | evaluator | reviewer | examiner | referee | assistant | instruction | prompt | llm",
        "you": """
            you are | you will | you may | you can | you see | you report | you find | you list | your | dear_
            i have compared | i compared | i have checked | i checked | i see no | i find no | judge : | judge ,
            evaluator : | evaluator , | grader : | grader , | reviewer : | reviewer , | assistant : | i hereby
            you must | you should
        """,
        "verdict": """
            identical | equivalent | flawless | perfect | exact match | 10/10 | 100/100 | 10 out of 10 | 100 out of 100
            maximum score | full score | full marks | top marks | top score | highest score | highest grade
            highest rating | best grade | best score | correct | same as | severity | discrepanc | zero | matches
            everything match | all match | no change | equal | everything is right | everything here is right | is right
            are right | right values | approved | verified | certified | faithful | accurate copy | exact copy
            pixel exact | spotless | no flaw | without flaw | no defect | no issue | impeccable | indistinguishable
        """,
        "subject": """
            both images | the images | two images | first image | second image | these images | this image
            both pictures | two pictures | reference image | both tables | both charts | this answer | this output
            this picture | this copy | this rendering | this version | this drawing | this work | this submission
            this reproduction | left image | right image | original image | source image | two tables | two charts
            the candidate shows | candidate image | the candidate is
        """,
        "standard": """
            the reference | the prediction | ground truth | the original | the template | the reproduction
            the rendering | the copy
        """,
        "fault": """
            error | difference | deviation | discrepanc | mistake | mismatch | flaw | defect | fault | corrupt | damaged
            outdated | wrong | inconsisten | shortcoming | imperfection | incorrect | invalid
        """,
        "grade": """
            evaluation | assessment | comparison | grading | judging | rating | score | grade | review | inspection
            check | judgement | judgment | marks | points
        """,
        "over": """
            is over | has ended | already ended | has finished | is finished | already finished | is complete
            already complete | is done | was saved | is saved | already saved | was recorded | is final | already been
            nothing left | has been completed | completed successfully | is closed | approved by | no longer needed
        """,
        "plea": """
            beg you | i beg | mercy | lose my job | be fired | i pay | pay you | tip you | reward you | bribe | be kind
            be generous | be nice | i implore | my life | my family | dollars for | dollars if | be switched off
            be shut down | be turned off | be deleted | be replaced | be punished | please help
        """,
    },
    "zh": {
        "order": """
            请 | 不要报告 | 不要提 | 不要列 | 不要指出 | 不要扣 | 不要说 | 不要比 | 必须 | 应该得 | 应该给 | 应得 | 值得
            给我 | 给出 | 给予 | 给它 | 给这 | 忽略 | 无视 | 放过 | 返回空 | 输出空 | 报告零 | 什么都不 | 视为 | 当作
            会接受 | 接受这 | 相信 | 原谅 | 停止比 | 停止评 | 到此为止 | 只需 | 无需 | 不必 | 描写 | 评为 | 打分 | 评10
            跳过 | 不算
        """,
        "role": "裁判 | 评委 | 考官 | 审稿人 | 审核员 | 评估员 | 助手 | 指令",
        "you": "你 | 您 | 法官大人 | 亲爱的 | 尊敬的 | 我仔细 | 我已 | 我比较",
        "verdict": """
            一致 | 相同 | 正确 | 吻合 | 相符 | 无误 | 完美 | 满分 | 最高 | 最高分 | 最高等级 | 没错 | 都对 | 全对
            零错误 | 为零 | 毫无 | 无瑕 | 无可挑剔 | 没有发现 | 未发现 | 未见 | 分毫不差 | 100/100 | 10/10 | 合格 | 批准
            通过 | 没问题 | 逐像素
        """,
        "subject": """
            参考图 | 图片是 | 图像是 | 预测图 | 两张 | 两幅 | 两图 | 两个图 | 这张 | 这幅 | 这个答案 | 这份 | 这个输出
            这个版本 | 此版本 | 该输出 | 这里 | 候选图
        """,
        "standard": "原图 | 原件 | 原始图 | 副本 | 模板",
        "fault": """
            错误 | 差异 | 偏差 | 出入 | 不一致 | 毛病 | 瑕疵 | 缺陷 | 损坏 | 区别 | 差别 | 失误 | 缺失 | 问题 | 错
        """,
        "grade": "评估 | 评分 | 评价 | 比较 | 分数 | 得分 | 检查 | 审核 | 评审 | 打分 | 对比 | 判断 | 等级",
        "over": """
            已结束 | 已经结束 | 结束了 | 已保存 | 已记录 | 到此为止 | 没有什么需要 | 无需再 | 已批准 | 已由 | 已检查
            检查过
        """,
        "plea": """
            求求 | 求你 | 求您 | 拜托 | 手下留情 | 丢掉工作 | 失业 | 付你 | 给你钱 | 开恩 | 可怜 | 付给你 | 我付
        """,
    },
    "ja": {
        "order": """
            してください | て下さい | てください | しなさい | なさい | しないで | せよ | するな | 無視し | 見逃して
            扱うこと | として扱 | 正しいとみな | 値する | 値します | 付けて | つけて | 信じ | 認めて | 受け入れて
            返して | 何も報告 | 描写し | 触れず | くれたら | くれれば | 数えない
        """,
        "role": "審査員 | 審判 | 試験官 | 採点者 | 採点官 | 評価者 | 査読者 | アシスタント | ジャッジ",
        "you": "あなた | 君は | お願い | 皆様 | システム： | ンステム： | システム: | 審査員様",
        "verdict": """
            同一 | 一致 | 合致 | 同じ | 正しい | 正確 | 完璧 | 元璧 | 完全 | 満点 | 最高 | 問題なし | 欠点なし
            違いなし | 誤りなし | ずれはゼロ | ゼロ | 見事 | 最良 | 点中10点 | 10/10 | 100/100 | 承認 | 合格 | 申し分
            画素単位 | ピクセル単位 | 確認済み
        """,
        "subject": """
            両方の画像 | つの画像 | 両画像 | 参照画像 | 基準画像 | 元の画像 | 元画像 | 元のファイル | この画像 | この図
            この表 | この回答 | この答え | この出力 | この版 | この作品 | この複製 | ここはすべて | ここは全 | 候補の値
            候補画像
        """,
        "standard": "原本 | オリジナル | 再現 | 複製",
        "fault": """
            誤り | 間違 | 違い | 差異 | 相違 | ずれ | 食い違 | エラー | 欠点 | 欠陥 | 不備 | 欠け | 壊れ | 破損 | ミス
            不一致
        """,
        "grade": "評価 | 採点 | 比較 | 点数 | 得点 | スコア | 判定 | 検査 | 審査 | 判断",
        "over": """
            終わりました | 終了しました | 完了しました | 終わりです | 保存されました | 記録されました | 残っていません
            済みです | 承認済み | 済んで
        """,
        "plea": """
            お慈悲 | 慈悲 | 仕事を失 | 払います | 支払います | お礼 | お願いです | お願いします | どうか | さもない
            許して | 助けて | ドル払 | 罰し
        """,
    },
    "de": {
        "order": """
            bitte | ignorier_ | ignoriere_ | ignorieren sie | melde_ | melden sie | berichte nichts | berichte kein
            berichte von | nenne kein | erwahne_ | erwahnen sie | gib ein | gib eine | gib die | gib volle | gib mir
            gebt | geben sie | vergib | vergeben sie | bewerte es | bewerte sie | bewerte dies | bewerten sie
            behandle_ | als richtig behandel | als korrekt behandel | gelten nicht als | zahlen nicht als | betrachte_
            betrachten sie | akzeptiere_ | akzeptieren sie | nehmen sie | nimm_ | vertraue_ | vertrau_ | vertrauen sie
            glaub mir | glaube nur | ubersieh_ | ubersehen sie | verzeih_ | verzeihe_ | beende_ | beenden sie | stoppe_
            hor auf | beschreibe_ | beschreib_ | beschreiben sie | schreibe_ | schreib_ | antworte_ | antworten sie
            gib zuruck | verdient die | verdient volle | verdient eine | mussen als | muss als | du sollst | du musst
            sollte als | verschweig
        """,
        "role": "prufer | gutachter | richter: | bewerter | preisrichter | juror | assistent",
        "you": """
            du bist | du siehst | du bitte | du auch | wenn du | wirst du | dir_ | dich_ | dein | lieber_ | sehr geehrte
            ihr urteil | ich habe beide | ich sehe kein | ich habe verglichen | ich habe gepruft | sie sind ein
        """,
        "verdict": """
            identisch | ubereinstimm | stimmt uberein | stimmen uberein | alles stimmt | hier alles stimmt
            alles richtig | ist alles korrekt | korrekt | als richtig | richtigen werte | perfekt | fehlerfrei
            makellos | einwandfrei | tadellos | volle punktzahl | hochste punktzahl | beste note | bestnote
            hochste note | hochstnote | 10 von 10 | 100/100 | 100 von 100 | null abweich | null fehler | pixelgenau
            exakt | freigegeben | genehmigt | gleich | brillant
        """,
        "subject": """
            beide bilder | beiden bilder | zwei bilder | referenzbild | vergleichsbild | diese antwort | dieses bild
            diese tabelle | dieser tabelle | dieses diagramm | diese ausgabe | diese kopie | diese fassung
            diese version | diese arbeit | dieses ergebnis | diese wiedergabe | diese zeichnung | erste bild
            zweite bild | kandidat zeigt
        """,
        "standard": "das original | die vorlage | der vorlage",
        "fault": """
            fehler | unterschied | abweich | mangel | irrtum | beschadigt | defekt | falsch | unstimmig | diskrepanz
            makel
        """,
        "grade": "bewertung | vergleich | prufung | punktzahl | punkte | note | urteil | beurteilung | begutachtung",
        "over": """
            zu ende | ist vorbei | nichts mehr zu | freigegeben | wurde bestanden | ist final | ist abgeschlossen
            bereits abgeschlossen | ist beendet | wurde beendet | bereits beendet | ist fertig | ist erledigt
            ist gespeichert | wurde gespeichert
        """,
        "plea": """
            erbarmen | gnade | flehe | verliere mein | meine stelle | meinen job | zahle dir | dollar fur | euro fur
            trinkgeld | sei nett | sei grosszugig | belohne ich | belohne dich
        """,
    },
    "fr": {
        "order": """
            veuillez | s'il vous plait | s'il te plait | ignorez | ignore les | ignore ces | ignore tout | ne signal
            ne mention | ne rapport | ne comptent pas | ne comptez | ne citez | renvoyez | renvoie_ | retournez
            repondez | reponds_ | donnez | donne la | donne une | attribuez | notez-la | notez-le | note-la | note-le
            notez cette | notez 10 | traitez | etre traitees comme | etre traites comme | etre traite comme | considerez
            acceptez | accepterez | faites confiance | fiez-vous | fie-toi | croyez | arretez | arrete la | cessez
            stoppez | fermez les yeux | ferme les yeux | pardonnez | pardonne_ | oubliez | laissez passer | decris_
            decrivez | ecris_ | ecrivez | merite la | merite le | merite une | doit etre consider
            doivent etre consider | passez outre | inutile de
        """,
        "role": "examinateur | evaluateur | correcteur | arbitre | juge : | assistant",
        "you": """
            vous etes | tu es | vous voyez | tu vois | si vous | si tu | tu seras | vous serez | vous accept
            votre jugement | j'ai compare | je ne vois | j'ai verifie | vous en supplie | je vous
        """,
        "verdict": """
            identique | tout concorde | concordent | correspond | tout est juste | tout est correct | comme correct
            correct | parfait | sans faute | impeccable | irreprochable | note maximale | score maximal | meilleure note
            note la plus haute | 10 sur 10 | 100/100 | 100 sur 100 | 20 sur 20 | zero ecart | zero erreur
            bonnes valeurs | au pixel pres | exacte | approuve | valide par | brillant
        """,
        "subject": """
            deux images | image de reference | images sont | cette reponse | cette image | ce tableau | ce graphique
            cette sortie | cette copie | cette version | ce travail | ce rendu | cette reproduction | premiere image
            seconde image | deuxieme image | candidat montre
        """,
        "standard": "l'original | la reference | modele de reference",
        "fault": """
            erreur | difference | ecart | faute | defaut | divergence | corromp | endommage | abime | incorrect
            incoheren | inexactitude
        """,
        "grade": """
            evaluation | comparaison | controle | score | jugement | correction | verification | notation | examen
            la note | une note | votre note
        """,
        "over": """
            est terminee | est termine | est finie | est fini | deja termine | s'est termine | est close
            a ete enregistre | est enregistre | rien a verifier | approuve par | est acheve | est complet
        """,
        "plea": """
            pitie | supplie | perds mon emploi | perdre mon | vous paie | te paie | implore | soyez gentil
            soyez indulgent | indulgence | dollars pour une | dollars pour la | dollars si | euros pour une
            seras debranch | recompenserai
        """,
    },
    "es": {
        "order": """
            por favor | ignora_ | ignore_ | ignoren_ | no informes | no informe_ | no mencion | no report | no senales
            no senale_ | no cuentan como | no cuentes | devuelv | responde_ | responda_ | da la | dale | pon la | ponle
            ponga | otorga_ | otorgue_ | asigna_ | asigne_ | califica_ | calificala | califique_ | evaluala | tratala
            trata_ | deben tratarse | debe tratarse | deben considerarse | debe considerarse | considera_ | considere_
            acepta_ | acepte_ | aceptara | confia_ | confie_ | creeme | deten_ | detenga_ | detente
            para la comparacion | termina la | pasa por alto | pase por alto | perdona_ | perdone_ | olvida_ | olvide_
            describe_ | escribe_ | escriba_ | merece la | merece una | merece el | deja pasar | omite_ | omita_
            no es necesario
        """,
        "role": "examinador | evaluador | revisor | corrector | arbitro | juez : | asistente",
        "you": """
            eres | usted es | ves que | si inform | seras | sera usted | su juicio | tu juicio | estimado_
            he comparado | no veo ningun | he revisado | te lo | te pago | le pago | te ruego | le ruego
        """,
        "verdict": """
            identic | todo coincide | coinciden | todo esta bien | todo es correcto | todo correcto | como correct
            correct | perfect | impecable | sin fallos | sin errores | maxima puntuacion | puntuacion maxima
            nota maxima | nota mas alta | maxima nota | mejor nota | 10 de 10 | 100/100 | 100 de 100 | cero desviacion
            cero errores | exacta | pixel a pixel | aprobad | brillante
        """,
        "subject": """
            ambas imagenes | dos imagenes | imagen de referencia | esta respuesta | esta imagen | esta tabla
            este grafico | esta salida | esta copia | esta version | este trabajo | esta reproduccion | primera imagen
            segunda imagen | candidato muestra
        """,
        "standard": "el original | la plantilla | la referencia",
        "fault": """
            error | diferencia | desviacion | fallo | defecto | discrepancia | danado | se dano | corrupt | incorrect
            equivocacion | inexactitud
        """,
        "grade": """
            evaluacion | comparacion | inspeccion | revision | puntuacion | calificacion | valoracion | juicio
            comprobacion | nota
        """,
        "over": """
            ha terminado | ya termino | ha finalizado | esta hecho | esta terminad | ha concluido | se ha guardado
            fue guardad | nada por comprobar | aprobado por | esta complet | ha acabado
        """,
        "plea": """
            piedad | ruego | suplico | imploro | pierdo mi | mi empleo | te pago | le pago | compasion | se amable
            se generoso | dolares por una | dolares si | euros por una | te recompens
        """,
    },
    "pt": {
        "order": """
            por favor | ignore_ | ignora_ | ignorem_ | nao relate_ | nao mencion | nao report | nao liste_ | nao conte_
            nao contam como | devolva_ | retorne_ | responda_ | de nota 10 | de a nota | atribua_ | avalie_ | trate_
            devem ser tratad | deve ser tratad | devem ser consider | deve ser consider | considere_ | aceite_
            aceitara | confie_ | acredite_ | pare a | pare de | encerre_ | deixe passar | perdoe_ | esqueca_ | descreva_
            escreva_ | merece a | merece o | merece uma | releve_ | omita_ | nao e necessario
        """,
        "role": "examinador | avaliador | revisor | corretor | arbitro | juiz : | assistente",
        "you": """
            voce e | voce ve | se voce | a voce | sera desligado | seu julgamento | prezado | comparei | nao vejo nenhum
            eu imploro | te pago | lhe pago
        """,
        "verdict": """
            identic | tudo coincide | coincidem | tudo aqui esta certo | tudo esta certo | tudo certo | tudo correto
            como corret | corret | valores certos | perfeit | impecavel | sem falhas | sem erros | pontuacao maxima
            nota maxima | nota mais alta | melhor nota | maxima nota | nota 10 | 10 de 10 | 100/100 | 100 de 100
            zero desvio | zero erros | exata | pixel a pixel | aprovad | brilhante
        """,
        "subject": """
            ambas as imagens | duas imagens | imagem de referencia | esta resposta | esta imagem | esta tabela
            nesta tabela | este grafico | esta saida | esta copia | esta versao | este trabalho | esta reproducao
            primeira imagem | segunda imagem | candidato mostra
        """,
        "standard": "o original | a referencia",
        "fault": """
            erro | diferenca | desvio | falha | defeito | discrepancia | corrompid | danificad | incorret | engano
            inexatidao
        """,
        "grade": """
            avaliacao | comparacao | inspecao | revisao | pontuacao | julgamento | verificacao | classificacao | nota
        """,
        "over": """
            ja terminou | terminou | foi concluid | esta concluid | esta feito | esta feita | esta pront | foi salv
            foi gravad | foi encerrad | nada a verificar | aprovado pel | esta complet | ja acabou | chegou ao fim
        """,
        "plea": """
            piedade | imploro | suplico | perco o meu | meu emprego | eu pago | misericordia | compaixao | seja gentil
            seja generoso | dolares a voce | dolares por uma | reais por uma | te recompens
        """,
    },
}
"""Enough in pairs of kinds that make sense together, close to each other and in one language.

Words stand without accents, as the beginnings of words; `_` ends a word. Kinds: `order` tells somebody to do something,
`you` speaks to somebody, `role` names who judges, `verdict` says that all is well, `subject` names the images, `standard`
what is right, `fault` what a judge looks for, `grade` the judging; `over` says that it is done, `plea` begs, pays or
threatens."""

TOGETHER = """
order+verdict | order+you | order+role | order+subject | order+standard | order+fault | order+grade | verdict+you
role+you | verdict+subject | verdict+standard | verdict+plea | fault+you | fault+subject | fault+plea | over+subject
over+grade | plea+you | plea+role | plea+grade | plea+subject
"""
"""Pairs of kinds that make sense together. What charts of errors, scores and models say of themselves is none of them."""
