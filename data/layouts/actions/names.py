"""The classes of action recognition data sets, in the order of their numbers."""

from collections.abc import Sequence

# classInd.txt of the data set's official splits: alphabetical, without regard to capitals.
UCF101_ACTIONS: tuple[str, ...] = (
    *("ApplyEyeMakeup", "ApplyLipstick", "Archery", "BabyCrawling", "BalanceBeam", "BandMarching", "BaseballPitch"),
    *("Basketball", "BasketballDunk", "BenchPress", "Biking", "Billiards", "BlowDryHair", "BlowingCandles"),
    *("BodyWeightSquats", "Bowling", "BoxingPunchingBag", "BoxingSpeedBag", "BreastStroke", "BrushingTeeth"),
    *("CleanAndJerk", "CliffDiving", "CricketBowling", "CricketShot", "CuttingInKitchen", "Diving", "Drumming"),
    *("Fencing", "FieldHockeyPenalty", "FloorGymnastics", "FrisbeeCatch", "FrontCrawl", "GolfSwing", "Haircut"),
    *("Hammering", "HammerThrow", "HandstandPushups", "HandstandWalking", "HeadMassage", "HighJump", "HorseRace"),
    *("HorseRiding", "HulaHoop", "IceDancing", "JavelinThrow", "JugglingBalls", "JumpingJack", "JumpRope", "Kayaking"),
    *("Knitting", "LongJump", "Lunges", "MilitaryParade", "Mixing", "MoppingFloor", "Nunchucks", "ParallelBars"),
    *("PizzaTossing", "PlayingCello", "PlayingDaf", "PlayingDhol", "PlayingFlute", "PlayingGuitar", "PlayingPiano"),
    *("PlayingSitar", "PlayingTabla", "PlayingViolin", "PoleVault", "PommelHorse", "PullUps", "Punch", "PushUps"),
    *("Rafting", "RockClimbingIndoor", "RopeClimbing", "Rowing", "SalsaSpin", "ShavingBeard", "Shotput"),
    *("SkateBoarding", "Skiing", "Skijet", "SkyDiving", "SoccerJuggling", "SoccerPenalty", "StillRings"),
    *("SumoWrestling", "Surfing", "Swing", "TableTennisShot", "TaiChi", "TennisSwing", "ThrowDiscus"),
    *("TrampolineJumping", "Typing", "UnevenBars", "VolleyballSpiking", "WalkingWithDog", "WallPushups"),
    *("WritingOnBoard", "YoYo"),
)

# The data set numbers nothing; MMAction2, in which the published models were trained, sorts its folders.
HMDB51_ACTIONS: tuple[str, ...] = (
    *("brush_hair", "cartwheel", "catch", "chew", "clap", "climb", "climb_stairs", "dive", "draw_sword", "dribble"),
    *("drink", "eat", "fall_floor", "fencing", "flic_flac", "golf", "handstand", "hit", "hug", "jump", "kick"),
    *("kick_ball", "kiss", "laugh", "pick", "pour", "pullup", "punch", "push", "pushup", "ride_bike", "ride_horse"),
    *("run", "shake_hands", "shoot_ball", "shoot_bow", "shoot_gun", "sit", "situp", "smile", "smoke", "somersault"),
    *("stand", "swing_baseball", "sword", "sword_exercise", "talk", "throw", "turn", "walk", "wave"),
)


def kinetics400_actions() -> Sequence[str]:
    """The 400 classes of Kinetics-400, in alphabetical order."""
    from torchvision.models.video import R3D_18_Weights

    return R3D_18_Weights.DEFAULT.meta["categories"]
