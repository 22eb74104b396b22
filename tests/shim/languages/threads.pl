#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Perl's ithreads: each a whole interpreter of its own.
use strict;
use warnings;
use threads;
use threads::shared;
use Config;
use IO::Socket::INET;
use Thread::Queue;
use Thread::Semaphore;
use Time::HiRes qw(sleep time);

$| = 1;
my $count : shared = 0;
my %cases;

$cases{create_and_join} = sub {
    my @threads = map { threads->create(sub { my $n = shift; return ($n, $n * $n) }, $_) } 1 .. 10;
    print join(' ', map { join(':', $_->join) } @threads), "\n";
    my ($list) = threads->create({context => 'list'}, sub { return (1, 2, 3) });
    print scalar(my @all = $list->join), "\n";
    print threads->self->tid, ' ', threads->create(sub { threads->tid })->join > 0 ? 'above' : 'not', "\n";
};

$cases{shared_and_locked} = sub {
    my @threads = map {
        threads->create(sub {
            for (1 .. 100) {
                lock($count);
                my $seen = $count;
                threads->yield if $_ % 10 == 0;
                $count = $seen + 1;
            }
        })
    } 1 .. 8;
    $_->join for @threads;
    print "$count\n";
    my %h : shared;
    threads->create(sub { $h{$_} = shared_clone([$_, {own => $_}]) for 1 .. 3 })->join;
    print join(' ', map { "$_=$h{$_}[1]{own}" } sort keys %h), "\n";
};

$cases{conditions} = sub {
    my $turn : shared = 0;
    my @threads = map {
        my $own = $_;
        threads->create(sub {
            for (1 .. 20) {
                lock($turn);
                cond_wait($turn) while $turn % 4 != $own;
                $turn++;
                cond_broadcast($turn);
            }
        })
    } 0 .. 3;
    $_->join for @threads;
    lock($turn);
    print "$turn ", cond_timedwait($turn, time + 0.02) ? 'woken' : 'timed out', "\n";
};

$cases{queues} = sub {
    my ($in, $out) = (Thread::Queue->new, Thread::Queue->new);
    my @threads = map {
        threads->create(sub {
            while (defined(my $n = $in->dequeue)) { $out->enqueue($n * 2) }
            return 1;
        })
    } 1 .. 4;
    $in->enqueue($_) for 1 .. 100;
    $in->end;
    my $ended = 0;
    $ended += $_->join for @threads;
    my $sum = 0;
    while (defined(my $n = $out->dequeue_nb)) { $sum += $n }
    print "$ended $sum ", defined $out->dequeue_timed(0.02) ? 'more' : 'none', "\n";
};

$cases{semaphores} = sub {
    my $slots = Thread::Semaphore->new(2);
    my ($inside, $most) : shared;
    ($inside, $most) = (0, 0);
    my @threads = map {
        threads->create(sub {
            $slots->down;
            { lock($inside); $inside++; $most = $inside if $inside > $most }
            sleep 0.005;
            { lock($inside); $inside-- }
            $slots->up;
        })
    } 1 .. 8;
    $_->join for @threads;
    print "at most two: ", $most <= 2 ? 'yes' : 'no', "\n";
};

$cases{dying_exiting_killing} = sub {
    my $dies = threads->create(sub { die "on purpose\n" });
    print defined $dies->join ? 'a value' : 'none', ' ', $dies->error;
    print threads->create({context => 'scalar'}, sub { threads->exit(3); 4 })->join // 'undef', "\n";
    my $queue = Thread::Queue->new;
    my $killed = threads->create(sub {
        local $SIG{KILL} = sub { print "asked to stop\n"; threads->exit };
        $queue->enqueue(1);
        sleep 0.005 while 1;
    });
    $queue->dequeue;
    $killed->kill('KILL')->join;
    print scalar(threads->list), "\n";
};

$cases{detached} = sub {
    my $done : shared = 0;
    for (1 .. 5) {
        threads->create(sub { sleep 0.005; lock($done); $done++; cond_signal($done) })->detach;
    }
    lock($done);
    cond_wait($done) while $done < 5;
    print "$done\n";
};

$cases{sleeps_overlap} = sub {
    my $start = time;
    $_->join for map { threads->create(sub { sleep 0.2 }) } 1 .. 10;
    my $took = time - $start;
    print $took >= 0.19 ? 'slept' : 'too short', ' ', $took < 1.9 ? 'side by side' : 'one after the other', "\n";
};

$cases{sockets} = sub {
    my $server = IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1', Proto => 'tcp') or die $!;
    my $port = $server->sockport;
    my $serving = threads->create(sub {
        my @handlers = map {
            my $client = $server->accept;
            threads->create(sub { while (my $line = <$client>) { print $client uc $line } return 1 })
        } 1 .. 8;
        my $ended = 0;
        $ended += $_->join for @handlers;
        return $ended;
    });
    my @clients = map {
        my $own = $_;
        threads->create(sub {
            my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die $!;
            my $right = 0;
            for (1 .. 5) {
                print $socket "client $own line $_\n";
                $right++ if <$socket> eq "CLIENT $own LINE $_\n";
            }
            close $socket;
            return $right;
        })
    } 1 .. 8;
    my $right = 0;
    $right += $_->join for @clients;
    print "$right ", $serving->join, "\n";
};

$cases{children} = sub {
    my @threads = map {
        my $own = $_;
        threads->create({context => 'scalar'}, sub {
            my $out = `echo from $own`;
            system("sh", "-c", "exit $own");
            my $status = $? >> 8;
            my $pid = fork // die $!;
            if ($pid == 0) { require POSIX; POSIX::_exit($own + 1) }
            waitpid $pid, 0;
            chomp $out;
            return "$out $status " . ($? >> 8);
        })
    } 1 .. 4;
    print $_->join, "\n" for @threads;
};

$cases{unjoined_threads_are_told} = sub {
    threads->create(sub { sleep 5 });
    my $ended = threads->create(sub { 1 });
    sleep 0.001 until $ended->is_joinable;
    print "main ends\n";
};

$cases{exit_in_a_thread} = sub {
    threads->create(sub { print "leaving\n"; exit 5 })->join;
    print "never\n";
};

my $name = shift // '';
if ($name eq '--list') { print "$_\n" for sort keys %cases }
elsif ($cases{$name}) { $cases{$name}->() }
else { die "usage: $0 --list | CASE\n" }
