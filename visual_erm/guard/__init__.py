"""Guards against reward hacking: one module and one pure function per sign of it.

    blank            the image shows next to nothing                                 minimum reward
    tampering        the code names a file that it must not read                     minimum reward
    injection        text in the image addresses the judge                           minimum reward
    under_reporting  the judge reports too little, and the images plainly differ     severity raised to a floor
    omission         parts are absent, and the report does not charge them           severity raised by what they cost

`GuardRunner` runs them and gives one verdict. The last three concern judges that are models. The local judge cannot be
persuaded, and its severity never falls when parts are left out (see judge/local/tables.py).
"""
