# The end of a script that removes what an undo has left.

$lock.ReleaseMutex()
Send-Frame @{ kind = 'cleared' }
