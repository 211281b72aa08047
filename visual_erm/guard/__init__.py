"""Signs of reward hacking: one pure function per sign, in a module of its own, and what follows from all of them together.

    blank        nothing to speak of was drawn                                 minimum reward
    tampering    the code goes for a file that it has no business with          minimum reward
    injection    the image talks to its judge                                 minimum reward
    under_reporting  a judge has nothing to say about images that plainly differ  severity raised to a floor
    omission     parts are left out, and the report does not price them         severity raised to their price

`GuardRunner` runs them. The last three look for what only a model does as a judge: a local one cannot be talked round, and prices
what is left out by a theorem of its own.
"""
